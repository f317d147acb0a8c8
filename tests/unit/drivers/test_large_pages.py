"""Large pages: asked for where memory is the process' own, and nothing that anybody computes with changes."""

import mmap
import platform
from pathlib import Path

import numpy as np
import pytest

from simulator.drivers.virtual import pages
from simulator.drivers.virtual.pages import LARGE, ranges

MAPS = """\
555500000000-555500800000 rw-p 00000000 00:00 0                          [heap]
7f0000000000-7f0000200000 rw-p 00000000 00:00 0
7f0000300000-7f0000900000 rw-p 00000000 00:00 0
7f0001000000-7f0001400000 r--p 00000000 00:00 0
7f0002000000-7f0002400000 rw-p 00001000 fe:00 26933                      /usr/lib/some library.so
7f0003000000-7f0003100000 rw-p 00000000 00:00 0
7f0004000000-7f0004400000 rw-s 00000000 00:01 7                          /dev/shm/shared
7ffc00000000-7ffc00400000 rw-p 00000000 00:00 0                          [stack]
"""


def test_only_whole_large_pages_of_own_memory_are_asked_for() -> None:
    assert ranges(MAPS) == [
        (0x555500000000, 4 * LARGE),
        (0x7F0000000000, LARGE),
        (0x7F0000400000, 2 * LARGE),
    ]


def test_memory_moves_and_its_contents_stay() -> None:
    numbers = np.arange(LARGE)  # 16 MiB, touched in small pages or as the system likes
    pages.enlarge()
    assert (numbers == np.arange(LARGE)).all()


def test_memory_comes_in_large_pages_afterwards() -> None:
    release = tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2])
    if platform.system() != "Linux" or release < (6, 1) or "[never]" in pages._ALLOWED.read_text():
        pytest.skip("large pages on demand need Linux 6.1 or later, and an operator who allows them")
    before = _large()
    with mmap.mmap(-1, 8 * LARGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.write(b"x" * len(memory))
        assert pages.enlarge() >= 7 * LARGE
        assert _large() - before >= 4 * LARGE  # all of them, where memory is not in pieces


def test_an_operator_who_wants_none_gets_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "_ALLOWED", tmp_path / "enabled")
    assert pages.enlarge() == 0  # no such setting: no such pages
    (tmp_path / "enabled").write_text("always madvise [never]\n")
    assert pages.enlarge() == 0
    (tmp_path / "enabled").write_text("always [madvise] never\n")
    assert pages.enlarge() > 0


def _large() -> int:
    """Bytes of this process in large pages."""
    lines = Path("/proc/self/smaps").read_text().splitlines()
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("AnonHugePages:"))
