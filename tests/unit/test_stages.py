"""Where a sample of processor time belongs, and what the flame graph shows of it."""

from __future__ import annotations

import math
from collections import Counter
from xml.etree import ElementTree as ET

import pytest

from benchmarks.flame import draw
from benchmarks.sampled import ROOT, read
from benchmarks.stages import CHECKS, FILES, LINES, LOOP, READ, SAFEGUARDS, SERVING, by_stage, stage, wilson


def place(file: str, words: str) -> tuple[str, str, int]:
    """The first line of a file with these words, as a frame."""
    lines = (ROOT / file).read_text().splitlines()
    return file, "", next(k for k, line in enumerate(lines, 1) if words in line)


def test_every_word_is_still_found_in_the_files_that_it_is_about() -> None:
    for start, words in LINES.items():
        files = [
            path for path in ROOT.glob("reference_service/**/*.py") if str(path.relative_to(ROOT)).startswith(start)
        ]
        text = "".join(path.read_text() for path in files)
        assert files
        for word, _ in words:
            assert word in text, (start, word)


def test_every_file_of_the_service_has_a_stage() -> None:
    paths = {str(path.relative_to(ROOT)) for path in ROOT.glob("reference_service/**/*.py")}
    assert {name for _, words in LINES.items() for _, name in words} | set(FILES.values()) <= {*SAFEGUARDS, *SERVING}
    for start in FILES:
        assert any(path.startswith(start) for path in paths), start


def test_the_kernel_works_for_whoever_called_it() -> None:
    kernel = place("reference_service/bundle.py", "kernel.mean_rows(")
    anomaly = place("reference_service/monitor/anomaly.py", "bundle.mean_over_fields(")
    scorer = place("reference_service/release/registry.py", "self._versions[version](values)")
    assert stage((anomaly, kernel)) == "monitors"
    assert stage((scorer, kernel)) == "scoring"
    assert stage(()) == LOOP


def test_lines_that_serve_another_master_are_his() -> None:
    write = place("reference_service/server/connection.py", "_transport.write(b")
    answer = place("reference_service/server/connection.py", "last = request.last or")
    assert (stage((write,)), stage((answer,))) == ("writing to sockets", "HTTP")


def test_reading_is_divided_as_measured() -> None:
    reading = place("reference_service/api/ordinary.py", "decode(body)")
    assert by_stage([((reading,), 200)], 0.25) == Counter({READ: 150, CHECKS: 50})


def test_wilson_holds_the_share_and_is_never_certain() -> None:
    found = wilson(0, 100)
    assert (found.share, round(found.low, 6)) == (0, 0)
    assert math.isclose(found.high, 0.03699, abs_tol=1e-4)  # Wilson's own, from tables
    assert wilson(40, 100).low < 0.4 < wilson(40, 100).high


def test_stacks_are_read_as_faulthandler_writes_them() -> None:
    text = (
        "Stack (most recent call first):\n"
        f'  File "{ROOT}/reference_service/clock.py", line 60 in now_ns\n'
        '  File "/usr/lib/python3/json.py", line 1 in loads\n'
        f'  File "{ROOT}/reference_service/app.py", line 2 in run\n'
        'Stack (most recent call first):\n  File "/usr/lib/asyncio.py", line 9 in run\n'
    )
    both = (("reference_service/app.py", "run", 2), ("reference_service/clock.py", "now_ns", 60))
    assert read(text) == Counter({both: 1, (): 1})


def test_bars_of_the_flame_graph_are_as_wide_as_their_samples() -> None:
    outer, inner = ("a<b", "#111"), ("c", "#222")
    svg = ET.fromstring(draw([((outer, inner), 30), ((outer,), 50), ((inner,), 20)], "t"))  # noqa: S314  # ours
    bars = {
        (bar[0].text or "").partition(":")[0] + (bar[1].get("y") or ""): float(bar[1].get("width") or 0)
        for bar in svg.findall("{*}g")
    }
    assert sorted(bars.values()) == pytest.approx([240, 360, 960])
