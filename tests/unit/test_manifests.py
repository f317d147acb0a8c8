"""The manifests in deploy/: what a cluster would say of them, and whether they agree with the service and each other.

Kubernetes' own kinds are held against its schemas (`kubernetes-validate`). Of Argo's AnalysisTemplate no package has
the schema: its Job is held against Kubernetes', the frame around it against what this file states. KServe's
InferenceService: its pod against Kubernetes', its keys against KServe's Python models where those are installed.
"""

import asyncio
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml

from reference_service.app import create_app
from reference_service.commands.serve import GRACE_NS
from reference_service.settings import filled, read

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests/servers"))
import place  # noqa: E402 - its folder is no package

KUBERNETES = "1.34"  # the oldest that has `sleep` before a stop for good
DEPLOY = ROOT / "deploy"
SCORER = list(yaml.safe_load_all((DEPLOY / "kubernetes/scorer.yaml").read_text()))
KIND = {one["kind"]: one for one in SCORER}
ANALYSIS = yaml.safe_load((DEPLOY / "argo/analysis-template.yaml").read_text())
(METRIC,) = ANALYSIS["spec"]["metrics"]
JOB = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}, "spec": METRIC["provider"]["job"]["spec"]}
INFERENCE = yaml.safe_load((DEPLOY / "kserve/inference-service.yaml").read_text())
OF_KSERVE = {"minReplicas", "maxReplicas"}
SERVED = {
    "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"},
    "spec": {k: v for k, v in INFERENCE["spec"]["predictor"].items() if k not in OF_KSERVE},
}  # fmt: skip
PODS = {"deployment": KIND["Deployment"]["spec"]["template"]["spec"], "kserve": SERVED["spec"]}
BUNDLES = ROOT / "scenarios/bundles/payments"


@pytest.fixture(scope="module")
def statuses():
    """What the running service answers at each path that a probe asks, and at one that none does."""
    probes = ("startupProbe", "readinessProbe", "livenessProbe")
    paths = {pod["containers"][0][probe]["httpGet"]["path"] for pod in PODS.values() for probe in probes}

    async def go():
        app = create_app({"bundles": str(BUNDLES), "feature_store": str(BUNDLES / "customers.npz")})
        to_app, from_app = asyncio.Queue(), asyncio.Queue()
        life = asyncio.create_task(app({"type": "lifespan"}, to_app.get, from_app.put))
        await to_app.put({"type": "lifespan.startup"})
        assert (await from_app.get())["type"] == "lifespan.startup.complete"
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://x") as http:
            found = {path: (await http.get(path)).status_code for path in (*paths, "/v2/health/nothing")}
        await to_app.put({"type": "lifespan.shutdown"})
        await life
        return found

    return asyncio.run(go())


@pytest.mark.skipif(
    importlib.util.find_spec("kubernetes_validate") is None, reason="no kubernetes-validate; `make test` installs it"
)
@pytest.mark.parametrize("resource", [*SCORER, JOB, SERVED], ids=lambda one: one["kind"])
def test_kubernetes_own_schemas_have_nothing_against_it(resource):
    import kubernetes_validate

    kubernetes_validate.validate(resource, KUBERNETES, strict=True)


@pytest.mark.parametrize("pod", PODS.values(), ids=PODS)
def test_probes_ask_where_the_service_answers_and_a_stop_gets_its_time(pod, statuses):
    (container,) = pod["containers"]
    args = container["args"]
    port = int(args[args.index("--port") + 1])
    named = {one["name"]: one["containerPort"] for one in container["ports"]}
    assert port in named.values()

    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        get = container[probe]["httpGet"]
        assert named.get(get["port"], get["port"]) == port
        assert statuses[get["path"]] == 200
    assert statuses["/v2/health/nothing"] == 404
    # Twice the grace: a control process waits for its workers as long again (`server/workers.py`).
    needs = container["lifecycle"]["preStop"]["sleep"]["seconds"] + 2 * GRACE_NS / 1e9
    assert pod["terminationGracePeriodSeconds"] > needs
    assert pod["securityContext"]["runAsUser"] == 10001  # as the image has it
    assert "--uid 10001" in (DEPLOY / "python.Dockerfile").read_text()


@pytest.mark.parametrize("pod", PODS.values(), ids=PODS)
def test_the_settings_are_the_service_s_and_come_from_what_is_mounted(pod):
    (container,) = pod["containers"]
    mounted = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
    sources = {one["name"]: one for one in pod["volumes"]}
    assert sources["settings"]["configMap"]["name"] == KIND["ConfigMap"]["metadata"]["name"]
    folder, _, name = container["args"][0].rpartition("/")
    assert folder == mounted["settings"]
    environment = {one["name"]: one["valueFrom"]["secretKeyRef"]["key"] for one in container["env"]}
    settings = read(filled(json.loads(KIND["ConfigMap"]["data"][name]), environment))
    assert (settings.token,) == tuple(environment.values())
    for path in (settings.decision_log, settings.state):
        assert path.startswith(mounted["data"] + "/")
    for path in (settings.bundles, settings.feature_store, settings.rules):
        assert (ROOT / path.removeprefix("/seatrial/")).exists()


def test_whoever_selects_selects_the_pods_of_the_deployment():
    deployment = KIND["Deployment"]["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    service, budget = KIND["Service"]["spec"], KIND["PodDisruptionBudget"]["spec"]
    for selector in (service["selector"], budget["selector"]["matchLabels"], deployment["selector"]["matchLabels"]):
        assert selector.items() <= labels.items()
    ports = {one["name"] for one in deployment["template"]["spec"]["containers"][0]["ports"]}
    assert {one["targetPort"] for one in service["ports"]} <= ports
    # A rollout and a drain both leave somebody to answer, and both can go on.
    assert deployment["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert 0 < budget["minAvailable"] < deployment["replicas"]


def test_the_analysis_measures_once_and_runs_what_there_is():
    assert (ANALYSIS["apiVersion"], ANALYSIS["kind"]) == ("argoproj.io/v1alpha1", "AnalysisTemplate")
    assert set(METRIC) == {"name", "count", "failureLimit", "provider"}
    assert (METRIC["count"], METRIC["failureLimit"], JOB["spec"]["backoffLimit"]) == (1, 0, 0)
    (container,) = JOB["spec"]["template"]["spec"]["containers"]
    (command,) = container["command"]
    verb, suite, option, target, out, folder = container["args"]
    assert (command, verb, option, out) == ("seatrial", "certify", "--target", "--out")
    assert folder in {one["mountPath"] for one in container["volumeMounts"]}
    assert (ROOT / target).exists()
    checked = subprocess.run(
        [sys.executable, "-m", "simulator.cli", "check", suite], check=False, cwd=ROOT, capture_output=True
    )
    assert checked.returncode == 0, checked.stderr.decode()


def test_the_inference_service_is_of_kserve_and_its_container_has_the_name_that_kserve_looks_for():
    assert (INFERENCE["apiVersion"], INFERENCE["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    assert SERVED["spec"]["containers"][0]["name"] == "kserve-container"
    assert INFERENCE["metadata"]["name"] == "payments"  # the model's name, as its clients ask for it
    assert set(INFERENCE["spec"]["predictor"]) >= OF_KSERVE


@pytest.mark.slow
@pytest.mark.skipif(
    not place.python("kserve").exists(), reason="KServe's SDK is elsewhere: python tests/servers/place.py kserve"
)
def test_kserve_s_own_models_know_every_key(tmp_path):
    script = ROOT / "tests/servers/kserve_keys.py"
    command = [place.python("kserve"), script, DEPLOY / "kserve/inference-service.yaml"]
    told = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert (told.returncode, told.stdout) == (0, "")
    spoiled = tmp_path / "spoiled.yaml"
    spoiled.write_text(yaml.safe_dump(INFERENCE).replace("minReplicas", "minimalReplicas"))
    told = subprocess.run([*command[:2], spoiled], check=False, capture_output=True, text=True, timeout=120)
    assert told.stdout == "V1beta1PredictorSpec knows no minimalReplicas\n"
