"""``serve.py ENVIRONMENT SERVER PORT``: becomes that server, in that environment, on loopback."""

import os
import sys
from pathlib import Path

from place import python

environment, server, port = sys.argv[1:]
interpreter = python(environment)
script = Path(__file__).resolve().parent / f"{server}_server.py"
os.environ["PATH"] = f"{interpreter.parent}:{os.environ['PATH']}"
os.execv(interpreter, [str(interpreter), str(script), port])  # noqa: S606 - the pid must stay the same
