"""NVIDIA's Triton, on CPU, around a Python model: dynamic batching and its response cache on.

The server and its Python backend are those that the wheel of PyTriton carries; PyTriton itself is not used.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytriton

HERE = Path(__file__).resolve().parent
BINARIES = Path(pytriton.__file__).parent / "tritonserver"
MODEL = """
name: "%s"
backend: "python"
default_model_filename: "%s"
max_batch_size: 8
dynamic_batching { max_queue_delay_microseconds: 20000 }
response_cache { enable: true }
instance_group [{ kind: KIND_CPU, count: 1 }]
input [%s]
output [{ name: "score", data_type: TYPE_FP64, dims: [1] }]
"""
FRAUD = {
    "TYPE_FP64": ("amount", "hour", "device_age_days", "ip_risk", "attempts"),
    "TYPE_STRING": ("country", "channel"),
}
PAYMENTS = {
    "TYPE_FP64": ("amount", "device_age_days", "ip_risk", "distance_km", "email_age_days"),
    "TYPE_INT64": ("customer_id", "hour", "basket_size", "attempts_1h"),
    "TYPE_STRING": ("merchant_category", "payment_method", "country", "channel"),
    "TYPE_BOOL": ("is_new_device",),
}


def put(repository, name, script, columns, *modules):
    """A model in Triton's repository, beside what it imports: no path of the environment reaches its process."""
    (repository / name / "1").mkdir(parents=True)
    inputs = [
        f'{{ name: "{column}", data_type: {kind}, dims: [1] }}' for kind, names in columns.items() for column in names
    ]
    (repository / name / "config.pbtxt").write_text(MODEL % (name, script, ", ".join(inputs)))
    for module in (script, *modules):
        shutil.copy(HERE / module, repository / name / "1" / module)


if __name__ == "__main__":
    folder = Path(tempfile.mkdtemp(prefix="seatrial-triton-"))
    put(folder / "models", "fraud", "triton_model.py", FRAUD, "model.py")
    put(folder / "models", "payments", "triton_payments.py", PAYMENTS)
    shutil.copytree(BINARIES / "backends", folder / "backends")
    stub = BINARIES / "python_backend_stubs" / "{}.{}".format(*sys.version_info[:2])
    shutil.copy(stub / "triton_python_backend_stub", folder / "backends/python")
    packages = Path(pytriton.__file__).parents[1]
    os.environ["PYTHONPATH"] = f"{HERE}:{packages}"
    os.environ["LD_LIBRARY_PATH"] = f"{packages}/nvidia_pytriton.libs:{os.environ.get('LD_LIBRARY_PATH', '')}"
    command = [
        str(BINARIES / "bin/tritonserver"), "--model-repository", f"{folder}/models", "--backend-directory",
        f"{folder}/backends", "--http-address", "127.0.0.1", "--http-port", sys.argv[1], "--allow-grpc", "false",
        "--allow-metrics", "false", "--cache-directory", str(BINARIES / "caches"), "--cache-config",
        "local,size=1048576", "--log-info", "false",
    ]  # fmt: skip
    os.execv(command[0], command)  # noqa: S606 - the pid must stay the same
