"""The contract of the flights model.

Weather has its seasons: against a reference of January to March it drifts every spring, and no one is to be woken
for that. The calendar likewise: one day is one weekday. What an airline sells (aircraft, routes) should stay as it is.
"""

from __future__ import annotations

from typing import Final

from reference_service.contract import Contract, Field
from reference_service.training.train import Recipe

# Flights to the west are planned longer against the winds of winter: summer's timetable lies .10 from it (PSI), minutes
# read as hours far beyond 1. What an airline sells is held to the policy's .1.
_TIMETABLE: Final = 0.25

_CARRIERS: Final = "9E AA AS B6 DL EV F9 FL HA MQ OO UA US VX WN YV"


def contract(destinations: tuple[str, ...]) -> Contract:
    """The contract whose `dest` knows exactly the destinations that training saw; later ones are unseen."""
    return Contract(
        model="flights",
        version="",  # each bundle has its own
        entity="flight_id",
        fields=(
            Field(name="carrier", kind="category", categories=tuple(_CARRIERS.split()), drift="ticket"),
            Field(name="origin", kind="category", categories=("EWR", "JFK", "LGA"), drift="ticket"),
            Field(name="dest", kind="category", categories=destinations, drift="ticket"),
            Field(name="weekday", kind="integer", minimum=0, maximum=6, drift="off"),
            Field(name="hour", kind="integer", unit="h", minimum=0, maximum=23, drift="off"),
            Field(name="minute", kind="integer", unit="min", minimum=0, maximum=59, drift="off"),
            Field(name="distance", kind="integer", unit="mi", minimum=1, maximum=12_500, on_alert="default"),
            Field(
                name="planned_minutes",
                kind="integer",
                unit="min",
                minimum=0,
                maximum=1440,
                on_alert="default",
                drift_fire=_TIMETABLE,
            ),
            Field(name="seats", kind="integer", minimum=1, maximum=1_000, on_null="model", on_alert="default"),
            Field(name="temp", kind="number", unit="°F", minimum=-100, maximum=150, on_null="model", drift="off"),
            Field(name="dewp", kind="number", unit="°F", minimum=-100, maximum=150, on_null="model", drift="off"),
            Field(name="humid", kind="number", unit="%", minimum=0, maximum=100, on_null="model", drift="off"),
            Field(name="wind_speed", kind="number", unit="mph", minimum=0, maximum=2_000, on_null="model", drift="off"),
            Field(name="wind_gust", kind="number", unit="mph", minimum=0, maximum=2_000, on_null="model", drift="off"),
            Field(name="precip", kind="number", unit="in", minimum=0, maximum=100, on_null="model", drift="off"),
            Field(name="pressure", kind="number", unit="hPa", minimum=800, maximum=1_100, on_null="model", drift="off"),
            Field(name="visib", kind="number", unit="mi", minimum=0, maximum=10, on_null="model", drift="off"),
        ),
    )


FALLBACK_FIELD: Final = "origin"

RECIPES: Final = {"v1": Recipe(seed=1, trees=100, leaves=31)}
