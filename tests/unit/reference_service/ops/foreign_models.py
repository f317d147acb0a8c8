"""Models of another make, as factories that a process of its own loads."""

import os
import time
from pathlib import Path

import numpy as np

RAISES, EXITS, SLEEPS, SPINS, SHORT, STOPS, SECRET = (1e9 * k for k in range(1, 8))


def linear(data):
    """The margin is the sum of the row's values (null: 0), times what the artifact says."""
    slope = float(data)

    def predict(values):
        print("a model may print what it likes")  # noqa: T201  # that it may is what is tested
        if RAISES in values:
            raise RuntimeError("the text may hold data")
        if EXITS in values:
            os._exit(3)
        if SLEEPS in values:
            time.sleep(1e6)
        if SPINS in values:
            while True:
                pass
        if SHORT in values:
            return np.zeros(len(values) + 1)
        if STOPS in values:
            raise SystemExit
        if SECRET in values:
            return np.full(len(values), float("SEATRIAL_SECRET" in os.environ))
        return np.nan_to_num(values).sum(axis=1) * slope

    return predict


def switched(data):
    """Does what the file named by the artifact says: sleep, spin, exit, raise; anything else: margin 0.5."""
    switch = Path(data.decode())

    def predict(values):
        wanted = switch.read_text()
        if wanted == "sleep":
            time.sleep(1e6)
        while wanted == "spin":
            pass
        if wanted == "exit":
            os._exit(3)
        if wanted == "raise":
            raise RuntimeError
        return [0.5] * len(values)

    return predict


def nothing(_data):
    """Does not load."""
    raise RuntimeError("no")


def infinite(_data):
    """Has no usable margins."""
    return lambda values: [np.inf] * len(values)


def slow_to_load(_data):
    """Takes longer than anybody would wait."""
    time.sleep(1e6)
