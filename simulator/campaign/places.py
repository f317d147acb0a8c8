"""Where jobs are judged: processes of this machine, or a Dask cluster. Both call the same function."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Protocol

import msgspec

from simulator.campaign.job import Job, judge, judge_apart
from simulator.report.json_ import from_json
from simulator.scenario.errors import BadInput, Problem
from simulator.verdict import Verdict


class Place(Protocol):
    """Judges jobs, and yields each as soon as it is judged, in any order."""

    def __call__(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Verdict]]:
        """A job that nobody could judge comes back with a fault of the harness in every cell."""


def here(workers: int) -> Place:
    """Processes of this machine, `workers` at once."""

    def place(jobs: Sequence[Job]) -> Iterator[tuple[Job, Verdict]]:
        with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
            out = {pool.submit(judge, msgspec.json.encode(job)): job for job in jobs}
            try:
                for future in as_completed(out):
                    yield out[future], _heard(out[future], future.result)
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    return place


def cluster(address: str) -> Place:
    """The workers of a Dask scheduler, such as ``tcp://host:8786`` or ``tls://…``.

    Whoever reaches a scheduler can run code on its workers: that is Dask's nature, so keep it on a network of its own.

    Raises:
        BadInput: Dask is not installed here, or nobody answers at the address.
    """
    try:
        from distributed import Client  # noqa: PLC0415 - an extra
        from distributed import as_completed as finished  # noqa: PLC0415 - an extra
    except ImportError:
        problem = Problem("no-dask", "a cluster needs Dask", address, hint="pip install 'seatrial[dask]'")
        raise BadInput([problem]) from None
    try:
        client = Client(address, timeout=10)
    except (OSError, ValueError) as error:
        raise BadInput([Problem("no-cluster", f"nobody answers: {error}", address)]) from error

    def place(jobs: Sequence[Job]) -> Iterator[tuple[Job, Verdict]]:
        with client:
            out = {client.submit(judge_apart, msgspec.json.encode(job), pure=False, retries=1): job for job in jobs}
            for future in finished(list(out)):
                yield out[future], _heard(out[future], future.result)

    return place


def _heard(job: Job, result: Callable[[], bytes]) -> Verdict:
    try:
        return from_json(result())
    except Exception as error:  # noqa: BLE001 - whatever kept a job from being judged is told, and never looks like a verdict
        return job.fault(f"{type(error).__name__}: {error}")
