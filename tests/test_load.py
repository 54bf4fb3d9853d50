"""The load meter, basic variants, and refusals at the top level."""

from __future__ import annotations

from typing import Any

import pytest

from streaming import JobContext, task
from streaming.errors import Unavailable
from streaming.server.load import LoadMeter, Readings
from streaming.watching.pressure import Pressure
from streaming.watching.server_end import ServerEnd
from streaming.watching.stream import Reader
from streaming.watching.streams import Refusal, Streams
from streaming.watching.traffic import Traffic
from tests.gate import Gate, held_at
from tests.house import House
from tests.jobs import new_job, said, started


def brief(ctx: JobContext, input: dict[str, Any]) -> str:
    """Say less."""
    ctx.text("brief")
    ctx.step("think", lambda: None)
    return "brief"


@task("talking", steps=["think"], basic=brief)
def talking(ctx: JobContext, input: dict[str, Any]) -> str:
    """Say all."""
    ctx.text("everything")
    return "everything"


def house_at(level: int, *tasks: Any, **given: Any) -> House:
    return House(*tasks, level=lambda: level, **given)


@pytest.mark.parametrize(("level", "output"), [(0, "everything"), (1, "everything"), (2, "brief")])
def test_a_task_starts_as_its_basic_variant_when_the_server_is_loaded(
    level: int, output: str
) -> None:
    house = house_at(level, talking)

    job = house.run(talking)

    assert house.end(job).data["output"] == output
    assert house.state(job).public()["degraded"] is (output == "brief")


def test_what_was_begun_as_the_basic_variant_goes_on_as_it() -> None:
    house = house_at(0, talking)
    job = house.store(talking)
    begun = started(1)
    house.storage.log.append(job, [type(begun)(begun.type, {**begun.data, "basic": True})])

    house.attempt(job).run()

    assert house.end(job).data["output"] == "brief"


def test_what_was_begun_in_full_is_finished_in_full() -> None:
    house = house_at(3, talking)
    job = house.store(talking)
    house.storage.log.append(job, [started(1)])

    house.attempt(job).run()

    assert house.end(job).data["output"] == "everything"


def test_new_jobs_are_refused_at_the_top_and_known_ones_are_found(gate: Gate) -> None:
    level = 0
    house = House(held_at(gate), level=lambda: level)
    request = house.request("held")
    row, _ = house.registry.submit("me", request, key="k", digest="d")
    level = 3

    with pytest.raises(Unavailable) as refused:
        house.registry.submit("me", request)

    assert refused.value.code == "overloaded"
    assert refused.value.extra["retry_after_s"] > 0
    again, new = house.registry.submit("me", request, key="k", digest="d")
    assert (again.id, new) == (row.id, False)
    gate.open()


def test_new_streams_are_turned_away_at_the_top() -> None:
    house = House(talking)
    pressure = Pressure()
    pressure.level = 3
    server = ServerEnd(
        house.storage, heartbeat_s=15, rotate_s=600, pressure=pressure, traffic=Traffic()
    )
    streams = Streams(server, limit=10)

    refused = streams.open("sse", None, Reader("me", {}))  # type: ignore[arg-type]
    assert refused == Refusal("overloaded")
    assert streams.fullness() == 0


@pytest.fixture
def meter(gate: Gate) -> LoadMeter:
    house = House(held_at(gate), threads=1, queue=4)
    server = ServerEnd(house.storage, heartbeat_s=15, rotate_s=600, traffic=Traffic())
    streams = Streams(server, limit=10)
    pressure = Pressure()
    made = LoadMeter(
        pressure,
        storage=house.storage,
        runner=house.runner,
        streams=streams,
        queue=4,
        readings=Readings(),
    )
    made.house = house  # type: ignore[attr-defined]
    return made


def test_it_measures_the_queue(meter: LoadMeter) -> None:
    house: House = meter.house  # type: ignore[attr-defined]
    for _ in range(3):
        house.submit("held")

    assert meter.measure(0.0).queue == 0.5
    assert meter.figures()["service_queue"] == (2, "1")


def test_it_measures_how_far_viewers_are_behind(meter: LoadMeter) -> None:
    house: House = meter.house  # type: ignore[attr-defined]
    job = new_job(house.storage)
    house.storage.log.append(job, [said()] * 400)
    house.storage.viewers.enter(job, "sse", lambda: 1)
    house.storage.viewers.enter(job, "sse", lambda: 401)

    signals = meter.measure(0.0)

    assert signals.lagging == 0.5
    assert signals.lag == 400


def test_it_takes_the_lateness_of_its_own_turn_for_the_lag(meter: LoadMeter) -> None:
    assert meter.measure(0.7).loop_lag_s == 0.7


def test_it_counts_events(meter: LoadMeter) -> None:
    house: House = meter.house  # type: ignore[attr-defined]
    job = new_job(house.storage)
    house.storage.log.append(job, [said()] * 100)

    meter.look()

    assert meter.event_rate > 0
    assert 0 <= meter.measure(0.0).cpu <= 1.5
