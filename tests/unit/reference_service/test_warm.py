from __future__ import annotations

import re

from reference_service.__main__ import main


def test_warm_says_how_many_kernels_were_compiled(capsys):
    assert main(["warm"]) == 0
    compiled, there = map(int, re.match(r"(\d+) kernels compiled, (\d+) were there", capsys.readouterr().out).groups())
    assert compiled + there == 11
