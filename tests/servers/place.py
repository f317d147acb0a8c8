"""Where each foreign system's environment lies: outside the checkout, one environment a system.

``python tests/servers/place.py NAME …`` makes them (from the package index, with uv); ``SEATRIAL_SERVERS`` says where.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

PLACE = Path(os.environ.get("SEATRIAL_SERVERS") or Path.home() / ".cache/seatrial/servers")
UV = shutil.which("uv") or "uv"
OURS = f"seatrial[service] @ {Path(__file__).resolve().parents[2].as_uri()}"
NEEDS = {
    "fastapi": ["fastapi==0.165.0", "uvicorn==0.54.0"],
    "litserve": ["litserve==0.2.19", "numpy", "lightgbm==4.7.0"],
    "bentoml": ["bentoml==1.4.39", "lightgbm==4.7.0"],
    # Its workers die with a newer uvloop, which no longer makes an event loop for whoever asks.
    "mlserver": ["mlserver==1.7.1", "mlserver-lightgbm==1.7.1", "uvloop<0.22"],
    "mlflow": ["mlflow==3.17.2", "scikit-learn", OURS],
    # Its client and the models of its manifests; it serves nothing here.
    "kserve": ["kserve==0.21.0"],
    # The wheel carries a whole Triton with its Python backend; it needs numpy<2 by itself.
    "triton": ["nvidia-pytriton==0.7.0"],
    "ray": ["ray[serve]==2.60.0"],
    # What docs/how-to/connect.md runs: these want other versions of our own dependencies, so they stay out of the lock.
    "prefect": ["prefect==3.9.1", OURS],
    "evidently": ["evidently==0.7.23", "pandas<3", OURS],
    "whylogs": ["whylogs==1.6.4", OURS],
    "feast": ["feast==0.67.0", OURS],
}


def python(name):
    """The interpreter of that system's environment."""
    return PLACE / name / "bin/python"


def main(names):
    for name in names or NEEDS:
        subprocess.run([UV, "venv", "--quiet", "--allow-existing", "--python", "3.11", PLACE / name], check=True)
        subprocess.run([UV, "pip", "install", "--quiet", "--python", python(name), *NEEDS[name]], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
