"""The process of a foreign model: ``python -m reference_service.foreign.child FACTORY ARTIFACT SHA256 SOCKET``.

FACTORY is ``module:name``. It is called once with the bytes of ARTIFACT, whose digest has been verified, and gives a
callable: float64[n, f] → n margins, null being NaN. Nothing is unpickled here; what a factory does with its bytes is
its own affair, as is the code of its module. Whatever it prints goes to the service's standard error.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from reference_service.foreign import frames

_LOOK_S: Final = 1.0  # how often it is looked whether the service still lives


def main(factory: str, artifact: str, sha256: str, descriptor: str) -> None:
    """Answer until the service hangs up."""
    threading.Thread(target=_follow, args=(os.getppid(),), daemon=True).start()
    with socket.socket(fileno=int(descriptor)) as channel:
        data = Path(artifact).read_bytes()
        if hashlib.sha256(data).hexdigest() != sha256:
            channel.sendall(frames.answer(frames.CHANGED))
            return
        module, _, name = factory.partition(":")
        model = getattr(importlib.import_module(module), name)(data)
        channel.sendall(frames.answer(frames.READY))
        _serve(channel, model)


def _serve(channel: socket.socket, model: Callable[[np.ndarray], Any]) -> None:
    told = False
    with channel.makefile("rb") as incoming:
        while len(head := incoming.read(frames.HEAD.size)) == frames.HEAD.size:
            rows, columns = frames.HEAD.unpack(head)
            values = np.frombuffer(incoming.read(rows * columns * frames.ITEM), dtype="<f8").reshape(rows, columns)
            try:
                margins = np.asarray(model(values), dtype=np.float64).reshape(rows)
            except Exception as error:  # noqa: BLE001  # whatever it raises is told, by its kind: its text may hold data
                if not told:
                    print(f"foreign model: {type(error).__name__}", file=sys.stderr, flush=True)  # noqa: T201  # no logging is set up in here
                told = True
                channel.sendall(frames.answer(frames.RAISED))
            else:
                channel.sendall(frames.answer(frames.MARGINS, margins))


def _follow(parent: int) -> None:
    """End when the service has, though the model be busy: nobody else would kill it."""
    while os.getppid() == parent:
        time.sleep(_LOOK_S)
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
