"""Features over the network are the embedded ones, and a store that lost its data says so."""

import pytest

from reference_service.shared.features import NotLoaded, RedisFeatures, load

COLUMNS = ("tenure_days", "mean_amount")
ROWS = [(7, (12.0, 3.5)), (8, (None, 1.25)), ("a b", (1.0, 2.0))]


def test_what_was_loaded_is_answered_with_its_age(with_redis):
    async def work(client):
        assert await load(client, COLUMNS, ROWS, as_of_ns=123) == 3
        store = RedisFeatures(client, COLUMNS)
        return [await store(entity, 999) for entity, _ in ROWS]

    assert [(row.as_of_ns, row.values) for row in with_redis(work)] == [(123, values) for _, values in ROWS]


def test_a_customer_that_nobody_knows_is_no_outage(with_redis):
    async def work(client):
        await load(client, COLUMNS, ROWS, as_of_ns=123)
        return await RedisFeatures(client, COLUMNS)(9, 0)

    assert with_redis(work).values == (None, None)


def test_a_store_that_lost_its_data_is_an_outage(with_redis):
    async def work(client):
        await load(client, COLUMNS, ROWS, as_of_ns=123)
        await client.flushall()
        with pytest.raises(NotLoaded, match="nothing was loaded"):
            await RedisFeatures(client, COLUMNS)(7, 0)

    with_redis(work)


def test_columns_are_read_by_name(with_redis):
    async def work(client):
        await load(client, ("mean_amount", "unasked", "tenure_days"), [(7, (3.5, 0.0, 12.0))], as_of_ns=123)
        store = RedisFeatures(client, COLUMNS)
        first = await store(7, 0)
        await load(client, COLUMNS, ROWS, as_of_ns=124)
        return first, await store(7, 0)

    assert [row.values for row in with_redis(work)] == [(12.0, 3.5)] * 2


def test_a_load_that_lacks_a_column_is_an_outage(with_redis):
    async def work(client):
        await load(client, ("mean_amount",), [(7, (3.5,))], as_of_ns=123)
        with pytest.raises(NotLoaded, match="lacks tenure_days"):
            await RedisFeatures(client, COLUMNS)(7, 0)

    with_redis(work)


def test_more_rows_than_fit_one_round_trip(with_redis):
    async def work(client):
        rows = [(k, (float(k), None)) for k in range(2501)]
        assert await load(client, COLUMNS, rows, as_of_ns=1) == 2501
        store = RedisFeatures(client, COLUMNS)
        return [(await store(k, 0)).values for k in (0, 999, 1000, 2500)]

    assert with_redis(work) == [(0.0, None), (999.0, None), (1000.0, None), (2500.0, None)]
