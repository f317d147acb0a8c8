"""The ledger of decisions that wait for their label: its lines say what a list of the decisions would."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_service.audit.records import Decision
from reference_service.guards import exploration
from reference_service.monitor import labels
from reference_service.monitor.labels import Ledger


class Plain:
    """The same law over whole objects: requests in the order of their first delivery, the youngest rows kept."""

    def __init__(self, capacity):
        self.capacity, self.rows, self.new = capacity, [], []  # (decision, group)
        self.labels = {}  # by seq

    def add(self, request, group):
        if self.find(request[0].id, 0) is None:
            self.new += [(row, group) for row in request]
            self.rows = (self.rows + [(row, group) for row in request])[-self.capacity :]

    def find(self, name, row):
        firsts = [at for at, (made, _) in enumerate(self.rows) if made.id == name and made.row == 0]
        if not firsts:
            return None  # with its first row a request can no longer be found
        made, _ = self.rows[firsts[0]]
        return self.rows[firsts[0] + row] if 0 <= row < made.rows else None

    def label(self, name, row, label):
        found = self.find(name, row)
        if found is None or found[0].score is None:
            return "unknown", None
        if found[0].seq in self.labels:
            return "duplicate", None
        self.labels[found[0].seq] = label
        return "accepted", found

    def decided(self):
        counts = {}
        for made, _ in self.new[-self.capacity :]:
            if made.score is not None and made.source != "fallback":
                n, refused = counts.get(made.at_ns - made.at_ns % WIDTH, (0, 0))
                refusal = made.decision == "block" or exploration.propensity(made.reasons) < 1
                counts[made.at_ns - made.at_ns % WIDTH] = n + 1, refused + refusal
        self.new.clear()
        return counts

    def known(self, name, row):
        found = self.find(name, row)
        return None if found is None else self.labels.get(found[0].seq)


NAMES = st.sampled_from(["a", "b", "c", "d", "e", "\ud800", "a" * 99])
DELIVERY = st.tuples(
    NAMES,
    st.integers(1, 3),  # rows
    st.sampled_from([None, 0.0, 0.25]),
    st.sampled_from(["approve", "block"]),
    st.sampled_from(["", exploration.reason(0.05), f"null:amount,{exploration.reason(0.1)}"]),
    st.sampled_from([-1.0, 3.0]),
    st.sampled_from(["model", "fallback"]),
)
WIDTH = 2  # of an interval: steps
LABEL = st.tuples(NAMES, st.integers(-1, 3), st.integers(0, 1))


def as_remembered(found):
    if found is None:
        return None
    made, group = found
    chance = exploration.propensity(made.reasons)
    return made.at_ns, made.score, group, made.version, made.decision, made.source, chance, made.seq % 256


def hold_to_the_law(capacity, steps):
    ledger, plain = Ledger(capacity), Plain(capacity)
    for at, step in enumerate(steps):
        if len(step) == 3:
            verdict, found = plain.label(*step)
            assert ledger.label(*step) == (verdict, as_remembered(found))
        else:
            name, rows, score, decision, reasons, group, source = step
            request = [
                Decision(9 * at + row, at, name, row, rows, f"v{at % 2}", score, decision, source, reasons)
                for row in range(rows)
            ]
            plain.add(request, group)
            for row in request:
                ledger.add(row, group, row.seq % 256)
        assert len(ledger) == len(plain.rows)
        if at % 3 == 2:
            assert ledger.decided(WIDTH) == plain.decided()
    for name in {step[0] for step in steps}:
        for row in range(-1, 4):
            assert ledger.find(name, row) == as_remembered(plain.find(name, row))
            assert ledger.known(name, row) == plain.known(name, row)


@settings(max_examples=150, deadline=None)
@given(st.integers(3, 8), st.lists(st.one_of(DELIVERY, DELIVERY, LABEL), max_size=40))
def test_lines_say_what_a_list_of_the_decisions_says(capacity, steps):
    hold_to_the_law(capacity, steps)


@settings(max_examples=50, deadline=None)
@given(st.integers(3, 5), st.lists(st.one_of(DELIVERY, DELIVERY, LABEL), max_size=40))
def test_ids_that_share_a_bucket_are_told_apart(capacity, steps):
    labels.hash = lambda name: hash(name) >> 24 << 24 | 7
    try:
        hold_to_the_law(capacity, steps)
    finally:
        del labels.hash


def test_its_memory_does_not_depend_on_what_clients_call_their_requests():
    ledger = Ledger(64)
    for k in range(200):
        ledger.add(Decision(0, k, f"{k}" * 10_000, 0, 1, "v1", 0.5, "approve", "model", ""))
    views = {name: getattr(ledger, name) for name in Ledger.__slots__}
    del views["_numbers"]  # the memory of the lines once more
    assert sum(each.nbytes for each in views.values() if isinstance(each, memoryview)) == 64 * 80
    assert len(ledger._words) == 1


def test_a_tick_after_a_long_silence_counts_every_interval():
    ledger = Ledger(64)
    for at in range(40):
        ledger.add(Decision(at, at, f"r{at}", 0, 1, "v1", 0.5, "block" if at % 4 == 0 else "approve", "model", ""))
    assert ledger.decided(WIDTH) == {start: (2, start % 4 == 0) for start in range(0, 40, WIDTH)}
    assert ledger.decided(WIDTH) == {}


def test_what_a_label_touches_lies_in_one_line_of_the_cache():
    lines = np.frombuffer(Ledger(64)._lines, np.int64)
    assert lines.ctypes.data % 64 == 0
    assert lines.nbytes == 64 * 64


def test_whoever_asks_every_tick_is_told_when_an_interval_has_ended_or_many_wait():
    ledger, told, asked = Ledger(64), [], 0
    for at in range(300):
        hurry = 100 <= at < 200  # so many at one moment that the ring would write over what was not counted
        now = 100 if hurry else at
        ledger.add(Decision(at, now, f"r{at}", 0, 1, "v1", 0.5, "approve", "model", ""))
        found = ledger.decided(10, now)
        asked += not found
        told += list(found.items())
    told += list(ledger.decided(10).items())
    whole = {start: sum(n for found, (n, _) in told if found == start) for start, _ in told}
    assert whole == {start: 100 if start == 100 else 10 for start in [*range(0, 101, 10), *range(200, 300, 10)]}
    assert asked > 250
