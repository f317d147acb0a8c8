"""``seatrial-service audit``: what people do with a decision log."""

from __future__ import annotations

import argparse
import datetime as dt
from pathlib import Path
from typing import Final

from reference_service.audit import archive
from reference_service.audit.files import LogBroken, logs
from reference_service.audit.verify import verify
from reference_service.clock import SystemClock

_BROKEN: Final = 1
_NO_LOG: Final = 2


def main(arguments: list[str]) -> int:
    """Do what is asked, then verify the whole."""
    parser = argparse.ArgumentParser(prog="seatrial-service audit", description="Verify a decision log, or change it.")
    parser.add_argument("folder", type=Path, help="of the log: settings.decision_log; of several workers: each in turn")
    doing = parser.add_mutually_exclusive_group()
    doing.add_argument("--head", metavar="HEX", help="a chain head exported earlier: it has to be in the log")
    doing.add_argument("--seal", action="store_true", help="turn full files into Parquet (folder/sealed)")
    doing.add_argument("--erase", metavar="ID", help="erase what the request ID sent; its decisions stay")
    doing.add_argument("--delete-before", metavar="DATE", type=dt.date.fromisoformat, help="archives older than it")
    return run(parser.parse_args(arguments), SystemClock().now_ns())


def run(options: argparse.Namespace, now_ns: int) -> int:
    """The exit code: 0 whole, 1 broken, 2 no log. Of several workers' logs: the worst."""
    folder: Path = options.folder
    if not folder.is_dir():
        print(f"{folder} is no folder of a decision log")
        return _NO_LOG
    found, worst = logs(folder), 0
    for log in found:
        if len(found) > 1:
            print(f"{log}:")
        worst = max(worst, _one(log, options, now_ns))
    if options.head and not worst and not any(archive.passed(log, options.head) for log in found):
        print(f"BROKEN: no block of {folder} ends in head {options.head}: the log has been cut off or replaced")
        return _BROKEN
    return worst


def _one(folder: Path, options: argparse.Namespace, now_ns: int) -> int:
    """Do what is asked of one log, then verify it."""
    try:
        if options.seal:
            for path in archive.seal(folder):
                print(f"sealed {path}")
        elif options.erase:
            print(f"erased the payloads of {archive.erase(folder, options.erase, now_ns)} decisions")
        elif options.delete_before:
            midnight = dt.datetime.combine(options.delete_before, dt.time(), dt.UTC)
            for path in archive.retain(folder, int(midnight.timestamp()) * 1_000_000_000):
                print(f"deleted {path}")
        tail = verify(folder)
        kept, erased = archive.check_payloads(folder)
    except LogBroken as broken:
        print(f"BROKEN: {broken}")
        return _BROKEN
    print(f"whole: {tail.block} blocks, {tail.seq} decisions, {kept} payloads ({erased} erased), {tail.lost} lost")
    print(f"head {tail.head.hex()}")
    return 0
