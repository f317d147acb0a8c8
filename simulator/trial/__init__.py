"""From scenario cells to a verdict: which runs are needed, in which order they are judged, where evidence lies.

out/<cell>/scenario.yaml, trial.json     what was asked: enough to judge again, or to run again
out/<cell>/<role>/                       the histories of main and off-<safeguard>
out/twins/<key>/<role>/                  clean twins, shared by cells with the same world
"""

from simulator.trial.again import certificate, history, read_verdict, recheck, replay
from simulator.trial.engine import CERTIFICATE, VERDICT, Listener, certify
from simulator.trial.manifest import Manifest

__all__ = [
    "CERTIFICATE",
    "VERDICT",
    "Listener",
    "Manifest",
    "certificate",
    "certify",
    "history",
    "read_verdict",
    "recheck",
    "replay",
]
