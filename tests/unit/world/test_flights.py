from __future__ import annotations

import csv
from importlib import metadata

import numpy as np
import pytest

from simulator.scenario.quantities import HOUR, MINUTE
from simulator.world.keyed import Draw
from simulator.world.population import Recorded
from simulator.world.populations import flights as module
from simulator.world.populations import get, training
from simulator.world.populations.flights_record import RecordMissingError, _folder, midnight_ns, record


def month(number):
    end = "2014-01-01" if number == 12 else f"2013-{number + 1:02d}-01"
    return midnight_ns(f"2013-{number:02d}-01"), midnight_ns(end)


def between(start, end):
    times = record().scheduled_ns
    return (times >= start) & (times < end)


def position(dest, day, hour, number):
    """Where the departure to `dest` on that day of January at that hour stands in the record."""
    columns, start = record().columns, midnight_ns(f"2013-01-{day:02d}")
    found = (
        between(start, start + 24 * HOUR)
        & (columns["dest"] == dest)
        & (columns["hour"] == hour)
        & (columns["flight_id"] % 10_000 == number)
    )
    (at,) = np.flatnonzero(found)
    return at


def test_it_is_a_recorded_population_with_its_columns_in_order():
    population = get("flights")
    assert isinstance(population, Recorded)
    assert set(record().columns) == {field.name for field in population.fields}
    assert len(record().label) == 336_776
    assert (np.diff(record().scheduled_ns) >= 0).all()


def test_columns_are_as_the_fields_declare():
    rows, _ = training("flights")
    for field in module.FIELDS:
        column = record().columns[field.name]
        if field.kind == "category":
            assert set(column.tolist()) == set(field.categories), field.name
        else:
            assert np.nanmin(column) >= field.minimum, field.name
            assert np.nanmax(column) <= field.maximum, field.name
            assert np.nanstd(rows.sent[field.name]) == pytest.approx(field.spread, rel=0.01), field.name
            whole = column[~np.isnan(column)]
            assert field.kind != "integer" or (whole == np.rint(whole)).all(), field.name


def test_nothing_that_the_departure_reveals_is_sent():
    forbidden = {"dep_time", "dep_delay", "arr_time", "arr_delay", "air_time", "label"}
    assert not forbidden & set(record().columns)
    # Under any name: a departure delay would tell late from punctual flights by more than a standard deviation.
    known = record().label >= 0
    late = record().label[known] == 1
    for field in module.FIELDS:
        column = record().columns[field.name]
        if column.dtype != object:
            column = np.nan_to_num(column[known])
            assert abs(column[late].mean() - column[~late].mean()) < 0.6 * column.std(), field.name


def test_the_weather_is_of_the_hour_before_the_scheduled_one():
    with (_folder() / "weather.csv").open() as file:
        observed = {
            (line["origin"], int(line["hour"])): line
            for line in csv.DictReader(file)
            if (line["month"], line["day"]) == ("1", "1")
        }
    at = position("IAH", 1, 5, 1545)  # scheduled at 05:15 from Newark
    for name in ("temp", "dewp", "humid", "wind_speed", "pressure", "visib"):
        assert record().columns[name][at] == float(observed["EWR", 4][name])
    differing = [n for n in ("temp", "dewp", "humid", "pressure") if observed["EWR", 4][n] != observed["EWR", 5][n]]
    assert differing, "the two hours must differ for this test to say anything"


@pytest.mark.parametrize(
    ("dest", "hour", "number", "arrives_utc_minutes"),
    [
        ("IAH", 5, 1545, 14 * 60 + 30),  # Houston, 08:30 by its clock, is 14:30 UTC
        ("BQN", 5, 725, 14 * 60 + 4),  # Aguadilla is in no table of airports: 10:04 there is 14:04 UTC
    ],
)
def test_labels_come_at_the_actual_arrival(dest, hour, number, arrives_utc_minutes):
    at = position(dest, 1, hour, number)
    arrival = record().scheduled_ns[at] + record().label_after_ns[at]
    assert arrival == (arrives_utc_minutes - 5 * 60) * MINUTE


def test_cancelled_and_diverted_flights_have_no_label():
    whole = record()
    never = whole.label < 0
    assert never.mean() == pytest.approx(0.028, abs=0.001)
    assert (whole.label_after_ns[never] == -1).all()
    assert (whole.label_after_ns[~never] > 15 * MINUTE).all()
    assert np.median(whole.label_after_ns[~never]) == pytest.approx(170 * MINUTE, rel=0.02)


def test_the_world_drifts_by_itself():
    rate = {}
    for number in range(1, 13):
        inside = between(*month(number)) & (record().label >= 0)
        rate[number] = record().label[inside].mean()
    assert rate[9] == pytest.approx(0.132, abs=0.001)
    assert rate[12] == pytest.approx(0.326, abs=0.001)
    assert np.mean([rate[1], rate[2], rate[3]]) == pytest.approx(0.228, abs=0.002)


def test_early_labels_are_too_good():
    whole = record()
    known = whole.label >= 0
    early = known & (whole.label_after_ns <= 2 * HOUR)
    assert whole.label[early].mean() < 0.1
    assert whole.label[known].mean() == pytest.approx(0.237, abs=0.001)


def test_training_is_january_to_march_and_misses_destinations_of_later():
    rows, truth = training("flights")
    assert rows.event_ns.min() >= midnight_ns("2013-01-01")
    assert rows.event_ns.max() < midnight_ns("2013-04-01")
    assert len(truth.label) == 80_789
    assert len(set(record().columns["dest"].tolist()) - set(rows.sent["dest"].tolist())) == 9


def test_rows_are_the_record_wherever_they_are_drawn():
    population = get("flights")
    index = np.array([5, 70_000, 300_000])
    rows = population.rows(Draw(1, "main"), index, np.zeros(3, np.int64))
    again = population.rows(Draw(2, "load:x"), index[1:2], np.zeros(1, np.int64))
    assert rows.event_ns[1] == again.event_ns[0] == record().scheduled_ns[70_000]
    assert rows.sent["dest"][1] == again.sent["dest"][0]


def test_midnights_know_summer_time():
    assert midnight_ns("2013-03-10") - midnight_ns("2013-03-09") == 24 * HOUR
    assert midnight_ns("2013-03-11") - midnight_ns("2013-03-10") == 23 * HOUR
    assert midnight_ns("2013-11-04") - midnight_ns("2013-11-03") == 25 * HOUR


@pytest.mark.parametrize(("start", "end"), [("2013-05-02", "2013-05-01"), ("2013-05-01", "2013-05-01")])
def test_empty_slices_are_refused(start, end):
    with pytest.raises(ValueError, match="no flights"):
        get("flights").slice(start, end)


def test_other_years_are_refused():
    with pytest.raises(ValueError, match="outside the record"):
        get("flights").slice("2012-05-01", "2013-05-01")


def test_missing_data_says_what_to_install(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    with pytest.raises(RecordMissingError, match=r"install seatrial\[flights\]"):
        _folder()
