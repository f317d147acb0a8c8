"""What the monitors promise, measured: silence, power, and what they cost: ``python -m benchmarks.monitors``.

Silence: days on which nothing happens, drawn from the reference of the payments bundle hour by hour, judged by the
very monitors that serve; every episode is a false alarm. Power: how often a shift of a normal feature is evident at
alpha = 1e-6, beside how often it would page. Cost: what a row pays for being counted; `benchmarks.service` says what a
request costs in all.
"""

from __future__ import annotations

import time
from collections import Counter
from operator import itemgetter
from typing import Any

import click
import numpy as np
from scipy.special import chdtri
from scipy.stats import norm

from benchmarks import shipped
from reference_service import bundle as bundles
from reference_service import policy as policies
from reference_service.bundle import Bundle
from reference_service.core.cells import QUANTILES, psi
from reference_service.monitor.alerts import AlertBook
from reference_service.monitor.drift import chance
from reference_service.monitor.inputs import InputMonitors
from reference_service.monitor.received import Received
from reference_service.policy import HOUR, Policy

REFERENCE = 50_000
RUNS = 10_000


def silence(bundle: Bundle, policy: Policy, days: int, per_second: float, seed: int) -> Counter[tuple[str, str]]:
    """Episodes on days on which nothing happens: (severity, name) → how many."""
    draw = np.random.default_rng(seed)
    monitors, book = InputMonitors(bundle, policy, 0), AlertBook("bench", policy.hold_ns)
    found: Counter[tuple[str, str]] = Counter()
    ticks = HOUR // policy.tick_ns
    rows = per_second * policy.tick_ns / 1e9
    for hour in range(24 * days):
        shares = bundle.profile.hourly_shares[hour % 24]
        totals = draw.poisson(rows, ticks)
        # Draws of each field by itself: monitors look at one field at a time.
        counts = np.stack([draw.multinomial(totals, p / p.sum()) for p in shares], axis=1)
        for tick, each in enumerate(counts):
            now_ns = hour * HOUR + (tick + 1) * policy.tick_ns
            for note in book.update(now_ns, monitors.look(each, now_ns)):
                if note.firing:
                    found[note.severity, note.name] += 1
    return found


def power(shift: float, n: int, alpha: float) -> tuple[float, float]:
    """(share of windows of n rows in which the shift is evident, share in which its effect would page)."""
    draw, cuts = np.random.default_rng(1), norm.ppf(QUANTILES)
    before, after = (np.diff([0.0, *norm.cdf(cuts - moved), 1.0]) for moved in (0.0, shift))
    references = draw.multinomial(REFERENCE, before, size=RUNS) / REFERENCE
    counts = draw.multinomial(n, after, size=RUNS)
    index = psi(references, REFERENCE, counts)
    evident = index > chance(references, REFERENCE, counts, alpha)
    return float(evident.mean()), float((evident & (index >= Policy().drift_fire)).mean())


def cost(bundle: Bundle, rows: int = 8_000) -> tuple[float, float, bool]:
    """(ns to set a row down, ns to count it, whether the counts are those of a batch over all rows).

    Setting down is not the monitors' alone: the model reads the row from where it was set down.
    """
    values = np.array(bundle.golden.values, dtype=np.float64)
    stream = values[np.random.default_rng(2).integers(0, len(values), rows)].tolist()
    received, whole = Received(bundle), bundle.new_counts()
    begun = time.perf_counter_ns()
    for row in stream:
        received.put(row)
    between = time.perf_counter_ns()
    counted = received.take()
    ended = time.perf_counter_ns()
    bundle.count(np.array(stream), whole)
    return (between - begun) / rows, (ended - between) / rows, bool((counted == whole).all())


def report(days: int, per_second: float) -> dict[str, Any]:
    """Everything, printed as it is found."""
    bundle = bundles.load(shipped.bundles("payments") / "v1")
    policy = policies.read(bundle.policy)
    table = {(s, n): power(s, n, 1e-6) for s, n in
             [(0.2, 1_667), (0.2, 1_750), (0.1, 10_000), (0.05, 100_000), (0.02, 1_000_000), (0.5, 1_667)]}  # fmt: skip
    print("shift   rows       evident  would page")
    for (shift, n), (evident, paged) in table.items():
        print(f"{shift:<7} {n:<10} {evident:<8.4f} {paged:.4f}")
    cost(bundle)  # once, so that everything is compiled
    put, spent, equal = min((cost(bundle) for _ in range(5)), key=itemgetter(1))
    print(f"a row of {len(bundle.contract.fields)} fields: set down in {put:.0f} ns, counted in {spent:.0f} ns; "
          f"equal to a batch: {equal}")  # fmt: skip
    begun = time.process_time()
    found = silence(bundle, policy, days, per_second, seed=1)
    pages = sum(n for (severity, _), n in found.items() if severity == "page")
    # Exact bound of a Poisson rate (Garwood 1936), by its limit: a month in which one page more is a 5 % event.
    most = float(chdtri(2 * (pages + 1), 0.05)) / 2 / days * 30
    print(f"{days} silent days at {per_second:g}/s: {pages} pages, at most {most:.2f} in 30 days (95% sure)")
    print(f"episodes: {dict(found)}; {time.process_time() - begun:.0f} s of CPU")
    return {"pages": pages, "days": days, "ns_per_row": spent, "equal": equal}


@click.command()
@click.option("--days", default=90, help="Silent days.")
@click.option("--rate", default=10.0, help="Requests a second on those days.")
def main(days: int, rate: float) -> None:
    """Measure the monitors."""
    report(days, rate)


if __name__ == "__main__":
    main()
