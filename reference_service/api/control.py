"""The control plane: labels, releases, and what operators may know. Everything under /v1 needs the token."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Annotated, Any, Final, Literal

import msgspec

from reference_service.api import decisions, metrics, openapi, reviews
from reference_service.api.labelling import labelled
from reference_service.api.oip import OUTPUTS
from reference_service.bundle import BundleError
from reference_service.clock import SECOND
from reference_service.policy import PolicyError
from reference_service.release.registry import Loaded, incompatible
from reference_service.release.trial import ReleaseRefused
from reference_service.reply import Reply, refusal
from reference_service.service import Service

Handler = Callable[[Service, bytes, str], Awaitable[Reply]]


class Label(msgspec.Struct, frozen=True):
    """The truth about one row of one request."""

    id: str
    label: Literal[0, 1]
    row: Annotated[int, msgspec.Meta(ge=0)] = 0


class Labels(msgspec.Struct, frozen=True):
    """A delivery of labels."""

    labels: list[Label]


class NewRelease(msgspec.Struct, frozen=True):
    """What to release, and how."""

    version: str
    by: Literal["canary", "ab", "swap", "shadow"] = "canary"
    share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.1
    override: bool = False  # although it is frozen


class Back(msgspec.Struct, frozen=True):
    """Where to go back to; unsaid: the version that served before the release on trial."""

    to: str | None = None


class Freeze(msgspec.Struct, frozen=True):
    """Which version is not to be released, and for how long; 0 lifts it."""

    version: str
    seconds: Annotated[float, msgspec.Meta(ge=0, le=31_536_000)] = 1800.0


# path → what is posted there
_BODIES: Final[Mapping[str, type]] = {
    "/v1/labels": Labels,
    "/v1/releases": NewRelease,
    "/v1/releases/rollback": Back,
    "/v1/releases/freeze": Freeze,
    "/v1/reviews": reviews.Verdicts,
}
_labels = msgspec.json.Decoder(Labels)
_release = msgspec.json.Decoder(NewRelease)
_back = msgspec.json.Decoder(Back)
_freeze = msgspec.json.Decoder(Freeze)


def authorised(headers: Iterable[tuple[bytes, bytes]], token: str) -> bool:
    """Whether the caller shows the token. Takes as long for a nearly right one; no token lets nobody in."""
    given = next((value for name, value in headers if name.lower() == b"authorization"), b"")
    expected = b"Bearer " + token.encode()
    return hmac.compare_digest(given, expected) and bool(token)


def _ok(body: Any, status: int = 200) -> Reply:
    return Reply(status, msgspec.json.encode(body))


async def labels(service: Service, body: bytes, _query: str) -> Reply:
    """Join labels to their decisions; each is counted once."""
    try:
        delivery = _labels.decode(body)
    except (ValueError, RecursionError):
        return refusal(400, "Malformed labels", 'needs {"labels": [{"id", "row", "label"}]}')
    counts = {"accepted": 0, "duplicate": 0, "unknown": 0}
    now_ns = service.clock.now_ns()
    for label in delivery.labels:
        counts[labelled(service, label.id, label.row, label.label, now_ns)] += 1
    return _ok(counts, 202)


async def release(service: Service, body: bytes, _query: str) -> Reply:
    """Verify a version, then put it on trial. What is refused changes nothing."""
    try:
        wanted = _release.decode(body)
    except (ValueError, RecursionError):
        return refusal(400, "Malformed release", 'needs {"version", "by": "canary"|"ab"|"swap"|"shadow", "share"}')
    loaded = await _loaded(service, wanted.version)
    if isinstance(loaded, Reply):
        return loaded
    service.take_up()
    releases, now_ns = service.releases, service.clock.now_ns()
    try:
        started = releases.start(loaded, wanted.by, wanted.share, now_ns, override=wanted.override)
    except ReleaseRefused as refused:
        return refusal(409, "Release refused", refused.reason)
    return _ok(releases.view(started), 202)


async def _loaded(service: Service, version: str) -> Loaded | Reply:
    """A version that could serve the champion's callers, or why there is none."""
    try:
        # Verifying and compiling takes its time; requests are answered meanwhile.
        loaded = await asyncio.to_thread(service.registry.get, version)
    except BundleError as error:
        return refusal(404 if error.reason == "missing" else 422, "Bundle refused", error.reason)
    except (PolicyError, ValueError):
        return refusal(422, "Bundle refused", "policy")
    differing = incompatible(service.releases.champion.bundle, loaded.bundle)
    if differing:
        return refusal(422, "Bundle refused", f"contract: another contract in {differing}")
    return loaded


async def rollback(service: Service, body: bytes, _query: str) -> Reply:
    """An operator takes back what is on trial, or puts a named version in its place."""
    try:
        wanted = _back.decode(body or b"{}")
    except (ValueError, RecursionError):
        return refusal(400, "Malformed rollback", 'needs nothing, or {"to": version}')
    to = None if wanted.to is None else await _loaded(service, wanted.to)
    if isinstance(to, Reply):
        return to
    service.take_up()
    releases = service.releases
    try:
        return _ok(releases.view(releases.operator_rollback(service.clock.now_ns(), to)), 202)
    except ReleaseRefused as refused:
        return refusal(409, "Nothing to roll back", refused.reason)


async def promote(service: Service, _body: bytes, _query: str) -> Reply:
    """An operator gives the canary to everybody but the held-back share, without waiting."""
    service.take_up()
    releases = service.releases
    try:
        return _ok(releases.view(releases.promote(service.clock.now_ns())), 202)
    except ReleaseRefused as refused:
        return refusal(409, "Nothing to promote", refused.reason)


async def freeze(service: Service, body: bytes, _query: str) -> Reply:
    """An operator forbids the release of a version for a while, or lifts it."""
    try:
        wanted = _freeze.decode(body)
    except (ValueError, RecursionError):
        return refusal(400, "Malformed freeze", 'needs {"version", "seconds"}; 0 seconds lift it')
    service.take_up()
    now_ns = service.clock.now_ns()
    try:
        service.releases.freeze(wanted.version, now_ns + round(wanted.seconds * SECOND), now_ns)
    except ReleaseRefused as refused:
        return refusal(409, "Not frozen", refused.reason)
    return _ok({"frozen_until_ns": service.releases.frozen}, 202)


async def releases(service: Service, _body: bytes, _query: str) -> Reply:
    """Every release since the registry was made, oldest first, and the trail of who did what."""
    state = service.releases
    return _ok(
        {
            "serving": state.champion.version,
            "certified": state.certified.version,
            "distrusted": state.distrusted,
            "frozen_until_ns": state.frozen,
            "automatic_rollbacks": state.automatic_rollbacks,
            "releases": [state.view(each) for each in state.history],
            "trail": state.trail,
        }
    )


async def version(service: Service, _body: bytes, _query: str) -> Reply:
    """Which version is live?"""
    state = service.releases
    trial = state.trial
    body: dict[str, Any] = {
        "serving": state.champion.version,
        "bundle": state.champion.bundle.digest,
        "certified": state.certified.version,
        "canary": None,
    }
    if trial is not None and state.split is not None:
        body["canary"] = {
            "version": trial.loaded.version,
            "bundle": trial.loaded.bundle.digest,
            "share": state.split.share,
        }
    return _ok(body)


async def quality(service: Service, _body: bytes, _query: str) -> Reply:
    """Quality on matured cohorts; beside it what is only provisional, and what is only believed."""
    known = service.cohorts.quality(service.clock.now_ns())._asdict()
    known["weighted"], known["naive"] = known["weighted"]._asdict(), known["naive"]._asdict()
    watch = service.watch
    return _ok({**known, "label_free": watch.inputs.score.estimate._asdict(), "groups": watch.errors.view()})


async def monitors(service: Service, _body: bytes, _query: str) -> Reply:
    """How every field and every alert stands."""
    watch = service.watch
    score = watch.inputs.score.drift
    return _ok(
        {
            "fields": watch.inputs.view(),
            "score": {"psi": score.psi, "n": score.n, "state": score.state},
            "confidence": watch.inputs.score.estimate.confidence,
            "alerts": [{"alertname": name, "field": field} for name, field in watch.book.episodes],
            "quarantined": [name for name, _ in watch.quarantined.values()],
        }
    )


async def live(_service: Service, _body: bytes, _query: str) -> Reply:
    """The process answers."""
    return _ok({"live": True})


async def ready(service: Service, _body: bytes, _query: str) -> Reply:
    """The model answers."""
    is_ready = await service.ready()
    return _ok({"ready": is_ready}, 200 if is_ready else 503)


async def model_ready(service: Service, _body: bytes, _query: str) -> Reply:
    """The model answers, as the protocol spells it."""
    return readiness(service.releases.champion.bundle.contract.model, ready=await service.ready())


def readiness(name: str, *, ready: bool) -> Reply:
    """Whether a model answers."""
    return _ok({"name": name, "ready": ready}, 200 if ready else 503)


async def server(_service: Service, _body: bytes, _query: str) -> Reply:
    """Protocol metadata of the server."""
    return _ok({"name": "seatrial-reference", "version": "1", "extensions": ["binary_tensor_data"]})


async def model(service: Service, _body: bytes, _query: str) -> Reply:
    """Protocol metadata of the model: the contract's request fields."""
    contract = service.releases.champion.bundle.contract
    datatypes = {"number": "FP64", "integer": "INT64", "boolean": "BOOL", "category": "BYTES"}
    inputs = [
        {"name": field.name, "datatype": datatypes[field.kind], "shape": [-1]}
        for field in contract.fields
        if field.origin == "request"
    ]
    if contract.entity not in {field["name"] for field in inputs}:
        datatype = "INT64" if contract.entity_kind == "integer" else "BYTES"
        inputs.insert(0, {"name": contract.entity, "datatype": datatype, "shape": [-1]})
    return _ok(
        {
            "name": contract.model,
            "versions": list(service.releases.served()),
            "platform": "lightgbm",
            "inputs": inputs,
            "outputs": [{"name": name, "datatype": datatype, "shape": [-1]} for name, datatype in OUTPUTS.items()],
        }
    )


async def costs(service: Service, _body: bytes, _query: str) -> Reply:
    """What a thousand predictions cost, and whom."""
    return _ok(service.cost.view())


async def exposition(service: Service, _body: bytes, _query: str) -> Reply:
    """Prometheus text."""
    return Reply(200, metrics.render(service))


async def described(service: Service, _body: bytes, _query: str) -> Reply:
    """This description: every path, what it takes and what it may say."""
    contract = service.releases.champion.bundle.contract
    operations = {
        where: (handler.__doc__ or "").partition("\n")[0] for where, handler in routes(contract.model).items()
    }
    return _ok(openapi.document(contract, operations, _BODIES))


def routes(model_name: str) -> Mapping[tuple[str, str], Handler]:
    """(method, path) → handler, apart from inference."""
    base = f"/v2/models/{model_name}"
    return {
        ("GET", "/v2"): server,
        ("GET", "/v2/health/live"): live,
        ("GET", "/v2/health/ready"): ready,
        ("GET", base): model,
        ("GET", f"{base}/ready"): model_ready,
        ("GET", "/metrics"): exposition,
        ("GET", "/openapi.json"): described,
        ("POST", "/v1/labels"): labels,
        ("POST", "/v1/releases"): release,
        ("POST", "/v1/releases/rollback"): rollback,
        ("POST", "/v1/releases/promote"): promote,
        ("POST", "/v1/releases/freeze"): freeze,
        ("GET", "/v1/releases"): releases,
        ("GET", "/v1/version"): version,
        ("GET", "/v1/quality"): quality,
        ("GET", "/v1/monitors"): monitors,
        ("GET", "/v1/decisions"): decisions.recent,
        ("GET", "/v1/decisions/lines"): decisions.lines,
        ("GET", "/v1/decision"): reviews.decision,
        ("GET", "/v1/costs"): costs,
        ("GET", "/v1/reviews"): reviews.waiting,
        ("POST", "/v1/reviews"): reviews.decide,
    }
