"""The score of the notebook: each row by itself through LightGBM, with nothing of the service in between.

Beside it the heuristic as it is written down: what is to be answered where the model cannot be asked.

What the service answers is held against it (J10): whatever a batch, a cache, a compiled forest or a feature path do
to a score, this does not do. It knows the bundle's files and none of the code that serves them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np

_DECIMALS = 6  # of a score, in every reply


class Notebook:
    """One version of a model, and the table from which features are looked up.

    Args:
        bundle: folder of the version: ``contract.json`` and LightGBM's own ``model.txt``.
        customers: ``.npz`` with ``entity_id`` and one array per column, as the feature store has it.
    """

    def __init__(self, bundle: Path, customers: Path) -> None:
        contract = json.loads((bundle / "contract.json").read_text("utf-8"))
        self.version = contract["version"]
        self._policy = json.loads((bundle / "policy.json").read_text("utf-8"))
        self._entity, self._fields = contract["entity"], contract["fields"]
        self._model = lightgbm.Booster(model_file=bundle / "model.txt")
        with np.load(customers, allow_pickle=False) as table:
            names = [name for name in table.files if name != "entity_id"]
            columns = zip(*(table[name].tolist() for name in names), strict=True)
            rows = zip(table["entity_id"].tolist(), columns, strict=True)
            self._customers = {entity: dict(zip(names, row, strict=True)) for entity, row in rows}

    def decide(self, score: float) -> str:
        """What is made of a probability that is not rounded yet."""
        if score < self._policy["review_from"]:
            return "approve"
        return "review" if score < self._policy["block_from"] else "block"

    def score(self, row: Mapping[str, Any]) -> float:
        """Probability of one row, as the client sends it."""
        known = self._customers.get(row[self._entity], {})
        values = [self._value(field, row, known) for field in self._fields]
        return float(self._model.predict(np.array([values]), num_threads=1)[0])

    @staticmethod
    def _value(field: Mapping[str, Any], row: Mapping[str, Any], known: Mapping[str, Any]) -> float:
        value = known.get(field["name"]) if field["origin"] == "store" else row[field["name"]]
        if value is None:
            value = field["default"] if field["on_null"] == "default" else np.nan
        return float(field["categories"].index(value) if field["kind"] == "category" else value)


class Heuristic(Notebook):
    """The positive rate of the row's own category, from training."""

    def __init__(self, bundle: Path, customers: Path) -> None:
        super().__init__(bundle, customers)
        self._profile = json.loads((bundle / "profile.json").read_text("utf-8"))

    def score(self, row: Mapping[str, Any]) -> float:
        """Probability of one row, as the client sends it."""
        rates = self._profile["fallback_rates"]
        return float(rates.get(row[self._profile["fallback_field"]], self._profile["fallback_otherwise"]))


def create_app(settings: Mapping[str, Any]) -> Any:
    """The notebook, served."""
    return _served(Notebook(Path(settings["bundles"]) / settings["serving"], Path(settings["feature_store"])))


def create_heuristic(settings: Mapping[str, Any]) -> Any:
    """The heuristic, served."""
    return _served(Heuristic(Path(settings["bundles"]) / settings["serving"], Path(settings["feature_store"])))


def _served(notebook: Notebook) -> Any:
    """ASGI: plain JSON in, one row or a list of them; scores, decisions and the version out."""

    async def app(scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while (await receive())["type"] != "lifespan.shutdown":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        asked = json.loads(body)
        rows = asked if isinstance(asked, list) else [asked]
        scores = [notebook.score(row) for row in rows]
        answer = {
            "version": notebook.version,
            "scores": [round(score, _DECIMALS) for score in scores],
            "decisions": [notebook.decide(score) for score in scores],
        }
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

    return app
