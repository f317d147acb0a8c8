"""docs/coverage.md: every requirement once, a proof that is there for all that is claimed, and none for what is not."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SYSTEMS = (
    "MLflow", "KServe", "BentoML", "Argo", "Prefect", "Feast", "Prometheus", "Grafana", "Slack", "PagerDuty",
    "Evidently", "WhyLabs", "Fiddler", "Arize", "Docker", "Kubernetes",
)  # fmt: skip
NUMBERS = {"W": 14, "J": 15, "S": 17, "U": 6}
IDS = [f"{letter}{i}" for letter, last in NUMBERS.items() for i in range(1, last + 1)] + [f"I-{s}" for s in SYSTEMS]
PAGE = (ROOT / "docs/coverage.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| ([WJSUI][\w-]+) \| ([^|]+) \| ([^|]+) \| ([^|]*)\|$", PAGE, flags=re.MULTILINE)


def test_every_requirement_stands_here_exactly_once():
    assert Counter(name for name, *_ in ROWS) == Counter(IDS)


@pytest.mark.parametrize(("name", "what", "status", "proof"), ROWS, ids=[row[0] for row in ROWS])
def test_a_row_is_what_it_claims(name, what, status, proof):
    proofs = re.findall(r"`([^`]+)`", proof)
    assert status in {"proven", "partly", "not yet"}
    assert bool(proofs) == (status != "not yet"), f"{name}: a claim needs a proof, and only a claim has one"
    assert ("[" in what) == (status == "partly") or status == "not yet", f"{name}: brackets say what is missing"
    for one in proofs:
        path, _, test = one.partition("::")
        assert (ROOT / path).is_file(), f"{name}: {path} is not there"
        if test:
            assert f"def {test}(" in (ROOT / path).read_text(encoding="utf-8"), f"{name}: no {test} in {path}"
