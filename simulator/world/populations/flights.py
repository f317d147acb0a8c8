"""Recorded flights: will this departure from New York arrive more than a quarter of an hour late?

Rows are the departures of 2013 in the order of their schedule. A request holds what is known before the scheduled
departure and nothing that the departure itself reveals; the truth is known when the flight arrives, later for the
late ones, and never for a cancelled or diverted flight. The world drifts by itself: about 24 % are late in January
to March, 13 % in September.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from simulator.world.keyed import Draw
from simulator.world.population import Field, Rows, Slice, Truth
from simulator.world.populations.flights_record import moment_ns, record

TRAINING: Final = ("2013-01-01", "2013-04-01")

_CARRIERS: Final = "9E AA AS B6 DL EV F9 FL HA MQ OO UA US VX WN YV"
_DESTINATIONS: Final = (
    "ABQ ACK ALB ANC ATL AUS AVL BDL BGR BHM BNA BOS BQN BTV BUF BUR BWI BZN CAE CAK CHO CHS CLE CLT CMH CRW CVG DAY "
    "DCA DEN DFW DSM DTW EGE EYW FLL GRR GSO GSP HDN HNL HOU IAD IAH ILM IND JAC JAX LAS LAX LEX LGA LGB MCI MCO MDW "
    "MEM MHT MIA MKE MSN MSP MSY MTJ MVY MYR OAK OKC OMA ORD ORF PBI PDX PHL PHX PIT PSE PSP PVD PWM RDU RIC ROC RSW "
    "SAN SAT SAV SBN SDF SEA SFO SJC SJU SLC SMF SNA SRQ STL STT SYR TPA TUL TVC TYS XNA"
)

# In the order of the wire. The spreads are measured on January to March (a test holds them to the record).
FIELDS: Final = (
    Field("flight_id", "integer", spread=41_200.0, minimum=0),
    Field("carrier", "category", categories=tuple(_CARRIERS.split())),
    Field("origin", "category", categories=("EWR", "JFK", "LGA")),
    Field("dest", "category", categories=tuple(_DESTINATIONS.split())),
    Field("weekday", "integer", spread=1.97, minimum=0, maximum=6),
    Field("hour", "integer", spread=4.67, minimum=0, maximum=23),
    Field("minute", "integer", spread=19.1, minimum=0, maximum=59),
    Field("distance", "integer", spread=712.0, minimum=0),
    Field("planned_minutes", "integer", spread=52.6, minimum=0),
    Field("seats", "integer", spread=71.4, minimum=1),
    Field("temp", "number", spread=8.45),
    Field("dewp", "number", spread=11.9),
    Field("humid", "number", spread=20.3, minimum=0.0, maximum=100.0),
    Field("wind_speed", "number", spread=6.43, minimum=0.0),
    Field("wind_gust", "number", spread=6.67, minimum=0.0),
    Field("precip", "number", spread=0.018, minimum=0.0),
    Field("pressure", "number", spread=8.04),
    Field("visib", "number", spread=2.46, minimum=0.0, maximum=10.0),
)


class Flights:
    """The population named ``flights``; recorded, so draws play no part in it."""

    name = "flights"
    fields: tuple[Field, ...] = FIELDS

    def slice(self, start: str, end: str) -> Slice:
        """The departures from the first day or moment to the last, exclusive."""
        start_ns, end_ns = moment_ns(start), moment_ns(end)
        first, last = np.searchsorted(record().scheduled_ns, (start_ns, end_ns)).tolist()
        if first >= last:
            msg = f"the record has no flights from {start} to {end} (exclusive)"
            raise ValueError(msg)
        return Slice(first, last, start_ns, end_ns)

    def rows(self, draw: Draw, index: np.ndarray, event_ns: np.ndarray) -> Rows:  # noqa: ARG002 - nothing is drawn
        """The departures at these positions of the record, at their scheduled times."""
        whole = record()
        sent = {field.name: whole.columns[field.name][index] for field in FIELDS}
        return Rows(
            event_ns=whole.scheduled_ns[index],
            entity=sent["flight_id"].astype(np.int64),
            segment=sent["origin"],
            sent=sent,
            latent={},
        )

    def truth(self, draw: Draw, index: np.ndarray, rows: Rows) -> Truth:  # noqa: ARG002 - nothing is drawn
        """What became of these departures, whatever their rows look like now: what happened has happened."""
        whole = record()
        return Truth(label=whole.label[index], label_after_ns=whole.label_after_ns[index])


POPULATION: Final = Flights()


def training() -> tuple[Rows, Truth]:
    """January to March, cancelled and diverted flights (label -1) included."""
    part = POPULATION.slice(*TRAINING)
    index = np.arange(part.first, part.last, dtype=np.int64)
    draw = Draw(0, "training")
    rows = POPULATION.rows(draw, index, index)
    return rows, POPULATION.truth(draw, index, rows)
