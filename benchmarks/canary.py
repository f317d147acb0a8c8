"""How often the canary's judge takes back a version that nothing is wrong with, and how soon one that something is.

    python -m benchmarks.canary [seeds] [service seeds]

The judge is the one that is shipped (`reference_service/release/judge.py`), fed with the traffic that the design was
made for: 40 requests a second, a tenth of them the canary's, one in a thousand of each arm's answers bad, by each of
three metrics. One JSON line a figure:

- `a_a`: 24 virtual hours of the same model in both arms, and of a canary exactly as bad as is tolerated. How many
  were rolled back, with the 99 % Clopper-Pearson bounds, beside what alpha promises.
- `a_a_at_5_percent`: the same at an alpha of 5 %, where so many seeds could show that the promise is broken.
- `peeked_z_test`: the peer. A two-proportion z-test on one of the metrics alone, looked at each minute.
- `detection`: seconds until a harmful canary is taken back.
- `a_a_service`: the whole service, by `seatrial`, with the same model under another name as its canary.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np

from benchmarks.shipped import bundles as shipped_bundles
from reference_service import bundle as bundles
from reference_service import profile as profiles
from reference_service.contract import Contract
from reference_service.core import compiled as compiling
from reference_service.policy import Policy
from reference_service.release.judge import Answer, CanaryJudge
from simulator.checks.statistics import clopper_pearson
from simulator.scenario.load import load
from simulator.trial import certify
from simulator.verdict import Status

ROOT: Final = Path(__file__).resolve().parent.parent
RATE: Final = 40.0  # requests a second
SHARE: Final = 0.1
BASE: Final = 0.001
HOURS: Final = 24.0
# In the service a failed model's answer is the fallback's: one event counts in both metrics.
KINDS: Final = (Answer(failed=True, fell_back=True), Answer(slow=True), Answer(blocked=True))
FAILED, SLOW = 0, 1
# Latencies lognormal with sigma .5, one in a thousand over the objective: half as long again leaves 1.13 % over it.
HALF_AS_LONG_AGAIN: Final = 0.5 * math.erfc((3.0902 * 0.5 - math.log(1.5)) / 0.5 / math.sqrt(2))
_BLOCK: Final = 4096


class Event(NamedTuple):
    """One bad answer, and the good ones since the last."""

    request: int  # ordinal
    kind: int
    new: bool
    canary: int  # good answers of the canary since the last bad one
    champion: int


def traffic(seed: int, canary: tuple[float, float, float], hours: float = HOURS) -> Iterator[Event]:
    """The bad answers of both arms, by kind: those of the champion at BASE, those of the canary at these rates."""
    draw = np.random.default_rng(seed)
    rates = np.array([*((1 - SHARE) * BASE for _ in KINDS), *(SHARE * rate for rate in canary)])
    bad, last = float(rates.sum()), int(RATE * hours * 3600)
    good_canary = SHARE * (1 - sum(canary)) / (1 - bad)
    request = 0
    while True:
        gaps = draw.geometric(bad, _BLOCK) - 1
        which = draw.choice(len(rates), _BLOCK, p=rates / bad)
        of_canary = draw.binomial(gaps, good_canary)
        for gap, index, count in zip(gaps.tolist(), which.tolist(), of_canary.tolist(), strict=True):
            request += gap + 1
            if request > last:
                return
            yield Event(request, index % len(KINDS), index >= len(KINDS), count, gap - count)


Judged = Callable[[Iterable[Event]], int | None]


def shipped(policy: Policy) -> Judged:
    """The ordinal of the request at which the service's own judge has had enough, or None."""

    def judge(events: Iterable[Event]) -> int | None:
        judge = CanaryJudge(policy, SHARE)
        for event in events:
            judge.answered(canary=event.canary, champion=event.champion)
            if judge.request(KINDS[event.kind], new=event.new):
                return event.request
        return None

    return judge


def peeked(level: float, every_s: float = 60.0) -> Judged:
    """A two-proportion z-test on failures, one-sided at `level`, looked at again and again."""
    border = math.sqrt(2) * _erfinv(1 - 2 * level)

    def judge(events: Iterable[Event]) -> int | None:
        seen, bad = [0, 0], [0, 0]
        due = RATE * every_s
        for event in events:
            while event.request > due:
                if _z(bad, seen) > border:
                    return int(due)
                due += RATE * every_s
            seen[True] += event.canary + event.new
            seen[False] += event.champion + (not event.new)
            bad[event.new] += event.kind == FAILED
        return None

    return judge


def _z(bad: list[int], seen: list[int]) -> float:
    pooled = sum(bad) / max(1, sum(seen))
    if not 0 < pooled < 1 or not all(seen):
        return 0.0
    spread = math.sqrt(pooled * (1 - pooled) * (1 / seen[0] + 1 / seen[1]))
    return (bad[1] / seen[1] - bad[0] / seen[0]) / spread


def _erfinv(x: float) -> float:
    low, high = 0.0, 6.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if math.erf(middle) < x else (low, middle)
    return high


def harmless(judge: Judged, seeds: int, *, ratio: float = 1.0, hours: float = HOURS) -> int:
    """How many of so many days are rolled back; the canary's bad answers are `ratio` times as frequent."""
    rates = (BASE * ratio, BASE * ratio, BASE * ratio)
    return sum(judge(traffic(seed, rates, hours)) is not None for seed in range(seeds))


def detection(judge: Judged, seeds: int, canary: tuple[float, float, float], hours: float = 2.0) -> list[float]:
    """Seconds until each harmful canary is taken back; infinite where it is not within `hours`."""
    found = (judge(traffic(seed, canary, hours)) for seed in range(seeds))
    return sorted(math.inf if at is None else at / RATE for at in found)


HARM: Final = {
    "errors 1 %": (0.01, BASE, BASE),
    "errors 2 %": (0.02, BASE, BASE),
    "errors 5 %": (0.05, BASE, BASE),
    "latency +50 %": (BASE, HALF_AS_LONG_AGAIN, BASE),
}


# ---------------------------------------------------------------- through the whole service

SCENARIO: Final = """
seatrial: 1
title: The same model under another name goes out as a canary, and stays
seed: 0
given:
  population: payments
  traffic: {rate: 20/s, for: 12m}
  warmup: 1m
when:
  - {event: same, at: 2m, release: {version: v1again, by: canary, share: 10%}}
then:
  - {id: stays, no_alert: {name: canary_rollback}, after: same, within: 10m}
"""


def again(version: Path, name: str) -> None:
    """The same model as another version beside it."""
    contract = msgspec.json.decode((version / "contract.json").read_bytes(), type=Contract)
    bundles.pack(
        version.with_name(name),
        contract=msgspec.structs.replace(contract, version=name),
        policy=msgspec.json.decode((version / "policy.json").read_bytes()),
        profile=profiles.from_json((version / "profile.json").read_bytes()),
        model_text=(version / "model.txt").read_text(),
        compiled=compiling.from_bytes((version / "compiled.npz").read_bytes(), len(contract.fields)),
        golden=msgspec.json.decode((version / "golden.json").read_bytes(), type=bundles.Golden),
    )


def service(seeds: int) -> dict[int, Status]:
    """The status of one A/A canary for each seed, as `seatrial run` gives it."""
    found = {}
    with tempfile.TemporaryDirectory(prefix="seatrial-") as folder:
        here = Path(folder)
        ours = shipped_bundles("payments")
        for path in (ours / "v1", ours / "customers.npz"):
            (here / "payments").mkdir(exist_ok=True)
            (here / "payments" / path.name).symlink_to(path)
        again(here / "payments/v1", "v1again")
        target = (ROOT / "scenarios/targets/payments.target.yaml").read_text()
        (here / "payments.target.yaml").write_text(target.replace("$here/../bundles/payments", str(here / "payments")))
        (here / "a_a.scenario.yaml").write_text(SCENARIO)
        for seed in range(seeds):
            out = here / "out" / str(seed)
            cells = load(here / "a_a.scenario.yaml")
            found[seed] = certify(cells, out=out, target=here / "payments.target.yaml", seed=seed).status
    return found


# ---------------------------------------------------------------- the lines


def show(**line: object) -> None:
    """One figure."""
    print(json.dumps(line), flush=True)


def rate(name: str, rolled_back: int, seeds: int, **more: object) -> None:
    """A share of days, with its 99 % bounds."""
    lower, upper = clopper_pearson(rolled_back, seeds)
    show(name=name, seeds=seeds, rolled_back=rolled_back, bounds=[round(lower, 6), round(upper, 6)], **more)


def main() -> None:
    """Print them all."""
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 10  # noqa: PLR2004 - the second argument
    policy, lenient = Policy(), Policy(canary_alpha=0.05)
    for ratio in (1.0, policy.canary_ratio):
        count = harmless(shipped(policy), seeds, ratio=ratio)
        rate("a_a", count, seeds, ratio=ratio, promised=policy.canary_alpha)
    count = harmless(shipped(lenient), seeds, ratio=policy.canary_ratio)
    rate("a_a_at_5_percent", count, seeds, ratio=policy.canary_ratio, promised=lenient.canary_alpha)
    for level in (policy.canary_alpha, 0.05):
        rate("peeked_z_test", harmless(peeked(level), seeds), seeds, ratio=1.0, promised=level)
    for name, canary in HARM.items():
        times = detection(shipped(policy), max(20, seeds // 5), canary)
        p50, p95 = (times[min(len(times) - 1, math.ceil(q * len(times)) - 1)] for q in (0.5, 0.95))
        show(name="detection", harm=name, seeds=len(times), p50=round(p50, 1), p95=round(p95, 1), unit="s")
    if runs:
        statuses = service(runs)
        refused = sum(status is Status.FAIL for status in statuses.values())
        unknown = sum(status is Status.UNKNOWN for status in statuses.values())
        rate("a_a_service", refused, runs, undecided=unknown, promised=policy.canary_alpha)


if __name__ == "__main__":
    main()
