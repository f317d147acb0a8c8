"""Lanes of amounts over time: versions, PSI, sources, trouble, traffic, labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from simulator.report import words
from simulator.report.lanes import Curve, Series
from simulator.report.layout import LEFT, LEGEND, RIGHT, ROW, WIDTH, Lane, legend, row_label
from simulator.report.svg import Scale, area, element, label, line, staircase, tooltip

_CURVES: Final = 5  # so many get a name; the rest stays grey
_PAGE_PSI: Final = 0.1  # the usual reading: from here on a distribution has moved


def versions(versions: Sequence[Series], edges: np.ndarray) -> Lane | None:
    """A row per version: the share of the answers that it gave."""
    if not versions:
        return None
    marks = []
    for row, version in enumerate(versions):
        floor = row * ROW + ROW - 3
        marks.append(row_label(version.name, floor - 4))
        marks.append(line(edges[0], floor, edges[-1], floor, class_="base"))
        # The faintest canary must still be seen: any share is at least a hairline.
        heights = np.where(version.values > 0, np.maximum(version.values * (ROW - 5), 1.5), np.nan)
        marks.append(
            element("path", tooltip(version.name), d=area(edges, floor - heights, floor), class_=f"series v{row % 4}")
        )
    return Lane("versions", "share of the answers that each version gave", len(versions) * ROW, tuple(marks))


def psi(curves: Sequence[Curve], scale: Scale) -> Lane | None:
    """A curve per field. The few that ever crossed the threshold are named, the others stay grey."""
    if not curves:
        return None
    height = 64.0
    peak = max(2 * _PAGE_PSI, *(float(curve.values.max()) for curve in curves))
    ranked = sorted(curves, key=lambda c: (-float(c.values.max()), c.name))
    loud = [curve for curve in ranked[:_CURVES] if float(curve.values.max()) >= _PAGE_PSI]
    threshold = _psi_y(_PAGE_PSI, peak, height)
    marks = [line(LEFT, height, WIDTH - RIGHT, height, class_="base")]
    marks.append(line(LEFT, threshold, WIDTH - RIGHT, threshold, class_="limit"))
    marks.append(label(words.number(_PAGE_PSI), LEFT - 6, threshold + 3.5, class_="row"))
    for curve in reversed(ranked):
        kind = f"curve c{loud.index(curve)}" if curve in loud else "curve quiet"
        said = tooltip(f"PSI of {curve.name}: at most {words.number(float(curve.values.max()))}")
        marks.append(element("path", said, d=_held(curve, _psi_y(curve.values, peak, height), scale), class_=kind))
    names = [(f"{curve.name} ≤ {words.number(float(curve.values.max()))}", f"ink-c{i}") for i, curve in enumerate(loud)]
    names += [(f"{words.plural(len(curves) - len(loud), 'field')} below", "quiet")] if len(loud) < len(curves) else []
    note = "population stability index by field, as the service reports it; square-root scale"
    return Lane("PSI", note, height, (*marks, *legend(names)))


def _psi_y(psi: Any, peak: float, height: float) -> Any:
    # A square root keeps the threshold visible beside a unit change that takes PSI to 10.
    return height * (1 - np.sqrt(np.maximum(psi, 0) / peak))


def _held(curve: Curve, ys: np.ndarray, scale: Scale) -> str:
    # A monitor's word holds until its next one.
    ends = np.append(curve.at_ns[1:], scale.end_ns)
    return staircase(np.array([scale.x(at) for at in (curve.at_ns[0], *ends)]), ys)


def stacked(title: str, note: str, series: Sequence[Series], edges: np.ndarray, *, whole: bool = True) -> Lane | None:
    """Shares on top of each other, up to all items (`whole`) or else to their own peak."""
    if not series:
        return None if whole else Lane(title, "none: nothing rejected, shed or failed", 4, ())
    height = max(42.0, LEGEND * len(series))
    tops = np.cumsum([one.values for one in series], axis=0)
    peak = 1.0 if whole else min(1.0, float(np.nanmax(tops)))
    marks = [line(LEFT, height, WIDTH - RIGHT, height, class_="base")]
    # From the top down, so that each area covers the lower part of the one before.
    for one, top in zip(reversed(series), reversed(tops), strict=True):
        ys = np.where(one.values > 0, height * (1 - top / peak), np.nan)
        if np.isfinite(ys).any():
            most = words.percent(float(np.nanmax(one.values)))
            said = tooltip(f"{one.name}: at most {most} of a bucket")
            marks.append(element("path", said, d=area(edges, ys, height), class_=f"series {_css(one.name)}"))
    marks.append(label(words.percent(peak), LEFT - 6, 9, class_="row"))
    names = [(one.name, f"ink-{_css(one.name)}") for one in reversed(series)]
    return Lane(title, note, height, (*marks, *legend(names)))


def traffic(traffic: Series, edges: np.ndarray, per_bucket: str) -> Lane | None:
    """Requests per second."""
    height, peak = 34.0, float(traffic.values.max(initial=0.0))
    if peak <= 0:
        return Lane("traffic", "none", 4, ())
    ys = np.where(traffic.values > 0, height * (1 - traffic.values / peak), np.nan)
    marks = (
        line(LEFT, height, WIDTH - RIGHT, height, class_="base"),
        element("path", d=area(edges, ys, height), class_="series traffic"),
        label(words.number(peak), LEFT - 6, 9, class_="row"),
    )
    return Lane("traffic", f"requests per second as scheduled, {per_bucket}", height, marks)


def labels(labels: Sequence[Series], edges: np.ndarray) -> Lane | None:
    """How much of the truth has arrived."""
    if not labels:
        return None
    height = 42.0
    marks = [line(LEFT, height, WIDTH - RIGHT, height, class_="base"), label("100%", LEFT - 6, 9, class_="row")]
    for i, one in enumerate(labels):
        said = tooltip(f"{one.name}: {words.percent(float(one.values[-1]))} of the labels by the end of the run")
        marks.append(element("path", said, d=staircase(edges, height * (1 - one.values)), class_=f"curve l{i}"))
    names = [(one.name, f"ink-l{i}") for i, one in enumerate(labels)]
    note = "share of the run's labels that have arrived"
    return Lane("labels", note, height, (*marks, *legend(names)))


def _css(name: str) -> str:
    return name.replace(" ", "-")
