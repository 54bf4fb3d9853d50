"""The task `monitor`: live figures of the machine, the service and the business, and alerts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

import psutil
from pydantic import BaseModel, ConfigDict, Field, field_validator

from streaming.context import JobContext
from streaming.tasks.analysis.rules import Rule, RuleBook
from streaming.tasks.registry import task

#: Figures, each with its labels, that may be fed in.
MAX_FED = 500

DEFAULT_RULES = [
    Rule(name="cpu_high", metric="cpu", above=90, for_s=30, clear=80),
    Rule(name="memory_high", metric="memory", above=90, for_s=10, clear=85, severity="critical"),
    Rule(name="disk_full", metric="disk", above=95, clear=93, severity="critical"),
]


class Figure(NamedTuple):
    """A figure of the machine or of the service."""

    name: str
    value: float
    unit: str


class MonitorInput(BaseModel):
    """How often to look, and what raises an alert."""

    model_config = ConfigDict(extra="forbid", title="Monitor")

    interval_s: float = Field(
        default=2, title="Interval", description="Seconds between two looks", ge=0.1, le=3600
    )
    rules: list[Rule] = Field(
        default=DEFAULT_RULES,
        title="Rules",
        description="What raises an alert: of cpu, memory, disk, …, or of figures fed in",
        max_length=100,
    )

    @field_validator("rules")
    @classmethod
    def _named_apart(cls, rules: list[Rule]) -> list[Rule]:
        names = [rule.name for rule in rules]
        if len(set(names)) < len(names):
            raise ValueError("two rules have one name")
        return rules


class Fed(BaseModel):
    """A figure that a client feeds in while the monitor runs."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    name: str = Field(min_length=1, max_length=100)
    value: float
    unit: str | None = Field(default=None, max_length=20)
    labels: dict[str, str] = Field(default={}, max_length=10)


@task("monitor", "Monitor", input=MonitorInput, takes_input=Fed, cooperative=True)
def monitor(ctx: JobContext, input: MonitorInput) -> None:
    """Figures of machine and service, and those that clients feed in, until it is cancelled."""
    book = RuleBook(input.rules, firing=ctx.restore([]))
    machine, known = Machine(), set[str]()
    while True:
        for figure in (*machine.look(), *service(ctx)):
            tell(ctx, book, Fed(name=figure.name, value=figure.value, unit=figure.unit))
        until = time.monotonic() + input.interval_s
        while (left := until - time.monotonic()) > 0:
            data = next(ctx.inputs(timeout_s=left), None)
            if data is not None:
                take(ctx, book, known, Fed.model_validate(data))


def take(ctx: JobContext, book: RuleBook, known: set[str], fed: Fed) -> None:
    """A figure of a client's; so many different ones, because a snapshot has the last of each."""
    key = f"{fed.name} {sorted(fed.labels.items())}"
    if key not in known and len(known) >= MAX_FED:
        ctx.log(f"{fed.name} is left out: {MAX_FED} figures are fed in already", level="warning")
        return
    known.add(key)
    tell(ctx, book, fed)


def tell(ctx: JobContext, book: RuleBook, figure: Fed) -> None:
    """A figure, and the alerts that it raises or resolves."""
    ctx.metric(figure.name, figure.value, unit=figure.unit, labels=figure.labels)
    for alert in book.look(figure.name, figure.value, figure.labels, time.monotonic()):
        ctx.alert(**alert)
        ctx.checkpoint(book.firing())


class Machine:
    """What psutil says; rates are those since the look before."""

    def __init__(self) -> None:
        psutil.cpu_percent()  # the first call only sets the mark
        self._at = time.monotonic()
        self._sent, self._received = self._network()

    def look(self) -> Iterator[Figure]:
        yield Figure("cpu", psutil.cpu_percent(), "%")
        yield Figure("memory", psutil.virtual_memory().percent, "%")
        yield Figure("disk", psutil.disk_usage(".").percent, "%")
        yield Figure("load", round(psutil.getloadavg()[0], 2), "1")
        now, (sent, received) = time.monotonic(), self._network()
        passed_s = max(0.001, now - self._at)
        yield Figure("network_out", round((sent - self._sent) / passed_s), "B/s")
        yield Figure("network_in", round((received - self._received) / passed_s), "B/s")
        self._at, self._sent, self._received = now, sent, received

    def _network(self) -> tuple[int, int]:
        cards = psutil.net_io_counters(pernic=True).values()  # none at all in some containers
        return sum(card.bytes_sent for card in cards), sum(card.bytes_recv for card in cards)


def service(ctx: JobContext) -> Iterator[Figure]:
    """This service's own figures."""
    for name, (value, unit) in ctx.service_figures().items():
        yield Figure(name, value, unit)
