"""What operators type: one module a command, each with `main(arguments) -> exit code`."""

from typing import Final

# `serve` is not among them: its name is the settings file's.
COMMANDS: Final = {
    "audit": "verify a decision log; archive its full files, erase a payload, delete what is old",
    "consume": "answer a stream of requests in Redis",
    "features": "fill the shared feature store, or say how old it is",
    "mock": "a stand-in for callers' tests, made of the contract alone",
    "ops": "rules of Prometheus and a dashboard of Grafana, made from a rules file",
    "registry": "the registry of files: list, add, export to and import from MLflow",
    "reproduce": "compute a decision again, from its record",
    "retrain": "from data to a version that serves, through the gate",
    "warm": "compile the kernels, for quick starts later",
}
