"""What makes a bundle answerable: its policy, its validator, and its model behind its guards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from reference_service import policy as policies
from reference_service.api.oip import Replies
from reference_service.api.ordinary import Ordinary
from reference_service.bundle import Bundle, BundleError
from reference_service.clock import Clock
from reference_service.core.cache import Cache, Known, pays
from reference_service.foreign import outside
from reference_service.foreign.model import Foreign
from reference_service.guards.breaker import Breaker
from reference_service.guards.dependency import Dependency
from reference_service.guards.fallback import Heuristic
from reference_service.policy import Bands, Policy
from reference_service.release import golden
from reference_service.release.registry import Loaded, Scorer, finite
from reference_service.settings import Settings
from reference_service.validation import Validator

Call = Callable[..., Any]
Seams = Mapping[str, Callable[[Call], Call]]  # name of a dependency -> what to wrap its call in


def assembler(
    settings: Settings,
    clock: Clock,
    seams: Seams,
    *,
    columns: Sequence[str],
    cache: Cache,
    foreign: list[Foreign],
) -> Callable[[Bundle], Loaded]:
    """What makes a bundle answerable.

    Args:
        settings: checked.
        clock: injected into every part.
        seams: wrappers of dependency calls.
        columns: that the feature store has.
        cache: of margins, shared by all versions.
        foreign: models with a process of their own are added to it, to be closed at the end.
    """
    scorer = Scorer()
    own = seams["model"](scorer) if "model" in seams else scorer

    def assemble(bundle: Bundle) -> Loaded:
        policy = policies.read(bundle.policy, settings.policy)
        artifact = settings.foreign.get(bundle.version)
        if artifact is None:
            scorer.add(bundle)
            call, tag = own, bundle.digest[:12]
        else:
            batched = outside.model_call(bundle, artifact, policy, clock, batching=settings.batching, running=foreign)
            call, tag = seams["model"](batched) if "model" in seams else batched, outside.tag(bundle, artifact)
        name = f"model:{bundle.version}"
        model = Dependency(
            name,
            call,
            kind=float,
            check=finite,
            breaker=new_breaker(name, policy),
            retries=None,  # a model that has failed on a row will fail on it again
            slow_ns=policy.slow_ns,
            clock=clock,
        )
        validator = Validator(bundle, columns, enabled=settings.safeguards.validation)
        wrong = golden.skewed(bundle, validator)
        if wrong:
            known = len(bundle.golden.requests)
            raise BundleError("golden", f"{wrong} of {known} requests come out otherwise than in training: a skew")
        return Loaded(
            bundle.version,
            bundle,
            policy,
            tag,
            Bands(policy),
            validator,
            Ordinary(validator),
            Heuristic(bundle),
            Replies(bundle.contract.model, bundle.version, tag),
            model,
            bundle.scores if call is scorer else None,  # what stands before the model sees each row
            _known(settings, cache, bundle) if artifact is None else None,  # codes are the row to our forest only
        )

    return assemble


def _known(settings: Settings, cache: Cache, bundle: Bundle) -> Known | None:
    """The cache, in front of a model that is slow enough or of any that an operator says."""
    if settings.cache == "off" or (settings.cache == "auto" and not pays(bundle.blocks)):
        return None
    return Known(cache, bundle.digest, len(bundle.contract.fields), bundle.encode)


def new_breaker(name: str, policy: Policy) -> Breaker:
    """A breaker of its own for each dependency and version."""
    return Breaker(
        name,
        window_ns=policy.breaker_window_ns,
        calls=policy.breaker_calls,
        share=policy.breaker_share,
        open_ns=policy.breaker_open_ns,
        jitter=policy.breaker_jitter,
        probes=policy.breaker_probes,
    )
