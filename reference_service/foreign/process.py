"""One life of a foreign model's process: started, asked, killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import subprocess
import sys
from collections.abc import Mapping
from typing import Final

import numpy as np

from reference_service.clock import SECOND
from reference_service.foreign import frames

_REAP_S: Final = 0.05  # after SIGKILL; one that the kernel does not let go of is left to be reaped later
# What a numeric library may need. Secrets of the service stand in its environment, and are none of a model's business.
_PASSED: Final = re.compile(
    r"PATH|HOME|LANG|LC_\w+|TMPDIR|VIRTUAL_ENV|LD_LIBRARY_PATH|(PYTHON|OMP|OPENBLAS|MKL|NUMBA|CUDA)\w*"
)


class Process:
    """A loaded model in a process.

    Args:
        factory: ``module:name``, see `child`.
        artifact: path.
        sha256: of the artifact, in hex.
        start_ns: how long importing and loading may take. Blocks until then: to be called from a thread.

    Raises:
        ConnectionError: it ended before it was ready, or its artifact has another digest.
        TimeoutError: it was not ready in time.
    """

    def __init__(self, factory: str, artifact: str, sha256: str, *, start_ns: int) -> None:
        self._start_s = start_ns / SECOND
        self._channel, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  # our own module, with what the operator configured
                [
                    sys.executable,
                    "-m",
                    "reference_service.foreign.child",
                    factory,
                    artifact,
                    sha256,
                    str(theirs.fileno()),
                ],
                stdin=subprocess.DEVNULL,
                stdout=2,
                pass_fds=[theirs.fileno()],
                env=passed(os.environ),
                start_new_session=True,  # an interrupt at the terminal is for the service, which then ends it
            )
        try:
            self._channel.settimeout(self._start_s)
            head = self._read_now(frames.HEAD.size)
            if head != frames.answer(frames.READY):
                raise ConnectionError("its artifact has another digest by now")
        except OSError:
            self.kill()
            raise
        self._channel.settimeout(0)

    async def ask(self, values: np.ndarray) -> list[float]:
        """Margins of float64[n, f]. One question at a time; who gives up on one must `kill`.

        Raises:
            ValueError: the model raised for these rows, or gave no margins of them.
            ConnectionError: the process is no more, or does not keep to the protocol.
        """
        await asyncio.get_running_loop().sock_sendall(self._channel, frames.question(values))
        size = _size(await self._read(frames.HEAD.size), len(values))
        return _margins(await self._read(size))

    def ask_now(self, values: np.ndarray) -> list[float]:
        """`ask`, for who may block, for as long as starting may take."""
        self._channel.settimeout(self._start_s)
        self._channel.sendall(frames.question(values))
        size = _size(self._read_now(frames.HEAD.size), len(values))
        margins = _margins(self._read_now(size))
        self._channel.settimeout(0)
        return margins

    def kill(self) -> None:
        """End it, whatever it is doing."""
        self._process.kill()
        self._channel.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_REAP_S)

    def _read_now(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            got = self._channel.recv(size - len(data))
            if not got:
                raise ConnectionError("the process of the model has ended")
            data += got
        return data

    async def _read(self, size: int) -> bytearray:
        loop, data, have = asyncio.get_running_loop(), bytearray(size), 0
        view = memoryview(data)
        while have < size:
            got = await loop.sock_recv_into(self._channel, view[have:])
            if not got:
                raise ConnectionError("the process of the model has ended")
            have += got
        return data


def _size(head: bytes | bytearray, rows: int) -> int:
    """Bytes of the margins that follow."""
    kind, count = frames.HEAD.unpack(head)
    if kind == frames.RAISED:
        raise ValueError("the model raised")
    if (kind, count) != (frames.MARGINS, rows):
        raise ConnectionError("it said something else than margins")
    return rows * frames.ITEM


def _margins(data: bytes | bytearray) -> list[float]:
    margins: list[float] = np.frombuffer(data, dtype="<f8").tolist()
    return margins


def passed(environment: Mapping[str, str]) -> dict[str, str]:
    """The part of an environment that a model gets to see."""
    return {name: value for name, value in environment.items() if _PASSED.fullmatch(name)}
