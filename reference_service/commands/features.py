"""``seatrial-service features TABLE --to redis://…``: fill the shared feature store, once or again and again."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from pathlib import Path
from typing import Final

import numpy as np
from redis.exceptions import RedisError

from reference_service.clock import SECOND, Clock, SystemClock
from reference_service.shared import features
from reference_service.shared.connect import connect

_UNITS: Final = {"s": 1, "m": 60, "h": 3600}


def main(arguments: list[str]) -> int:
    """Load the table; 0 when it is loaded, 1 when the store is away or, with --check, has nothing."""
    parser = argparse.ArgumentParser(prog="seatrial-service features", description="Fill the shared feature store.")
    parser.add_argument("table", type=Path, nargs="?", help=".npz with entity_id and one array per column")
    parser.add_argument("--to", required=True, metavar="URL", help="redis://host:port/number")
    parser.add_argument("--every", type=_duration, metavar="DURATION", help="load again and again, such as 1h")
    parser.add_argument("--check", action="store_true", help="load nothing; say how old the last load is")
    options = parser.parse_args(arguments)
    if options.table is None and not options.check:
        parser.error("name the table, or say --check")
    work = _check(options.to) if options.check else _load(options.table, options.to, options.every, SystemClock())
    return asyncio.run(work)


def _duration(text: str) -> int:
    unit = _UNITS.get(text[-1:])
    if unit is None or not text[:-1].isdigit() or not int(text[:-1]):
        raise argparse.ArgumentTypeError(f"{text!r} is no duration; write 30s, 5m or 1h")
    return int(text[:-1]) * unit * SECOND


async def _load(table: Path, url: str, every_ns: int | None, clock: Clock) -> int:
    with np.load(table, allow_pickle=False) as arrays:
        columns = tuple(name for name in arrays.files if name != "entity_id")
        entities = arrays["entity_id"].tolist()
        rows = list(zip(entities, zip(*(arrays[name].tolist() for name in columns), strict=True), strict=True))
    async with contextlib.aclosing(connect(url)) as client:
        while True:
            try:
                written = await features.load(client, columns, rows, clock.now_ns())
            except RedisError as error:
                print(f"the store at {url} does not take rows: {type(error).__name__}", flush=True)
                if every_ns is None:
                    return 1
                await clock.sleep(min(every_ns, 5 * SECOND))  # it may be starting
                continue
            print(f"loaded {written} rows of {', '.join(columns)}", flush=True)
            if every_ns is None:
                return 0
            await clock.sleep(every_ns)


async def _check(url: str) -> int:
    async with contextlib.aclosing(connect(url)) as client:
        try:
            found = await features.loaded(client)
        except RedisError as error:
            print(f"the store at {url} does not answer: {type(error).__name__}")
            return 1
    print("nothing was loaded" if found is None else f"loaded as of {found.as_of_ns} ns: {', '.join(found.columns)}")
    return 0 if found is not None else 1
