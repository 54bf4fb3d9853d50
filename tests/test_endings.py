"""Whatever a task returns, raises, names or plans: one attempt, one terminal event."""

from __future__ import annotations

import logging
import logging.config
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from streaming import JobContext, TaskError, task
from streaming.errors import Cancelled, Interrupted, StreamingError, Superseded, TimedOut
from streaming.events.event import dumps
from tests.house import House

DAY = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Raising(dict):  # type: ignore[type-arg]
    """An object of which nothing can be had."""

    def __str__(self) -> str:
        raise KeyError("no text")

    __repr__ = __str__

    def __iter__(self) -> Iterator[Any]:
        raise KeyError("no members")

    def __len__(self) -> int:
        return 3

    def items(self) -> Any:
        raise KeyError("no items")


class RaisingError(TaskError):
    """A failure whose own members raise."""

    @property
    def detail(self) -> str:
        raise KeyError("no detail")

    @detail.setter
    def detail(self, value: str) -> None:
        pass

    def __str__(self) -> str:
        raise KeyError("no text")


class Leaving(list):  # type: ignore[type-arg]
    """A list that ends the program of whoever looks what is in it."""

    def __iter__(self) -> Iterator[Any]:
        raise SystemExit(3)


class Untouchable:
    """An object that ends the program of whoever asks it anything."""

    def __getattribute__(self, name: str) -> Any:
        raise KeyboardInterrupt


class UntouchableError(Exception):
    __getattribute__ = Untouchable.__getattribute__


class Nameless(type):
    def __getattribute__(cls, name: str) -> Any:
        raise ValueError("no name")

    def __repr__(cls) -> str:
        raise ValueError("no text")


def nameless() -> BaseException:
    class NamelessError(Exception, metaclass=Nameless):  # here: pytest asks what is in a module
        pass

    return NamelessError()


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """What is logged of such errors is not passed on by pytest: it need not be text."""
    caplog.set_level(logging.CRITICAL + 1)


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


def cycle() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["self"] = value
    return value


#: Things that no JSON has, or hardly, by name: hypothesis prints what it draws from.
ODDITIES: dict[str, Callable[[], Any]] = {
    "datetime": lambda: DAY,
    "object": object,
    "empty raising": Raising,
    "raising": lambda: Raising(a=1),
    "deep": lambda: nested(190),
    "deeper": lambda: nested(300),
    "deepest": lambda: nested(5000),
    "cycle": cycle,
    "nan": lambda: float("nan"),
    "infinity": lambda: float("inf"),
    "large number": lambda: 10**400,
    "huge number": lambda: 10**5000,
    "bytes": lambda: b"\xff\xfe",
    "set": lambda: {1, 2},
    "tuple key": lambda: {(1, 2): "x"},
    "lone surrogate": lambda: "\ud800",
    "surrogate within": lambda: "a\udcffb",
    "surrogate key": lambda: {"\udcff": 1},
    "long": lambda: ["x" * 70_000],
    "controls": lambda: "\x00" * 70_000,
    "function": lambda: len,
    "error": lambda: Exception("inner"),
    "class": lambda: JobContext,
    "leaving": lambda: Leaving([1]),
}
ODD = st.sampled_from(sorted(ODDITIES)).map(lambda name: ODDITIES[name]())
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | ODD,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3)
    ),
    max_leaves=6,
)
TEXTS = st.text(max_size=20) | st.sampled_from(["\ud800", "a\udcffb", "x" * 70_000, "\x00"])
NAMES = st.from_regex(r"[a-z_]{1,8}", fullmatch=True).filter(
    lambda name: name not in ("detail", "code", "retryable", "self")
)
ERRORS: st.SearchStrategy[BaseException] = st.one_of(
    st.builds(
        lambda text, code, extra: TaskError(text, code=code, **extra),
        VALUES,
        st.none() | st.sampled_from(["own_code", "a_b"]) | TEXTS | VALUES,
        st.dictionaries(NAMES, VALUES, max_size=3),
    ),
    st.builds(RaisingError, TEXTS),
    st.builds(ValueError, VALUES),
    st.builds(StreamingError, TEXTS),
    st.builds(Cancelled, TEXTS),
    st.builds(TimedOut, TEXTS),
    st.builds(Interrupted, TEXTS),
    st.builds(Superseded, TEXTS),
    st.sampled_from([SystemExit(3), KeyboardInterrupt(), GeneratorExit(), MemoryError()]),
)

quick = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def ends_once(function: Callable[[JobContext, Any], Any]) -> tuple[str, dict[str, Any]]:
    """Type and data of the one end of a job, after one attempt, within a second."""
    odd = task("odd")(function)
    house = House(odd)
    job = house.store(odd)
    attempt, began = house.attempt(job), time.monotonic()

    attempt.run()

    took_s = time.monotonic() - began
    events = house.events(job)
    assert [event.terminal for event in events].count(True) == 1
    assert events[-1].terminal
    assert house.row(job).attempt == 1
    assert not attempt.left
    assert took_s < 1.0
    dumps(house.state(job).public())
    return events[-1].type, events[-1].data


@quick
@given(VALUES)
def test_whatever_a_task_returns_its_job_ends(output: Any) -> None:
    ends_once(lambda ctx, input: output)


@quick
@given(ERRORS)
def test_whatever_a_task_raises_its_job_ends(error: BaseException) -> None:
    def raises(ctx: JobContext, input: Any) -> None:
        raise error

    kind, data = ends_once(raises)

    if type(error) is TaskError and error.code in ("own_code", "a_b"):
        assert kind == "job.failed"
        assert data["error"]["code"] == error.code


@quick
@given(VALUES, VALUES, VALUES)
def test_whatever_a_task_names_its_job_ends(first: Any, second: Any, third: Any) -> None:
    def names(ctx: JobContext, input: Any) -> None:
        calls: list[Callable[[], Any]] = [
            lambda: ctx.plan([(first, second)]),
            lambda: ctx.step(first, lambda: second),
            lambda: ctx.metric(first, second, unit=third, labels={"a": third}),
            lambda: ctx.metric("m", 1, labels={first: second, "b": third}),
            lambda: ctx.alert(first, second, severity=third, value=first, state=second),
            lambda: ctx.log(first, level=second),
            lambda: ctx.progress(first, second, third),
            lambda: ctx.tool(first, lambda **_: second, a=third),
            lambda: ctx.text(first, item=second),
            lambda: ctx.reasoning(first, item=second),
            lambda: ctx.artifact(first, second, media_type=third),
            lambda: ctx.artifact("a.txt", "x", media_type=first),
            lambda: ctx.checkpoint(first),
            lambda: ctx.degrade(first),
            lambda: ctx.usage.update({"tokens": first}),
        ]
        for call in calls:
            try:
                call()
            except BaseException:  # noqa: BLE001 - a task may go on after any of it
                continue
        raise TaskError(first, code="own_code")

    kind, data = ends_once(names)

    assert kind == "job.failed"
    assert data["error"]["code"] == "own_code"


#: What hypothesis itself cannot touch.
UNTOUCHABLE: dict[str, Callable[[], Any]] = {
    "untouchable": Untouchable,
    "untouchable error": UntouchableError,
    "nameless error": nameless,
    "leaving": lambda: Leaving([1]),
}


@pytest.mark.parametrize("name", UNTOUCHABLE)
def test_what_cannot_even_be_asked_what_it_is_ends_its_job(name: str) -> None:
    value = UNTOUCHABLE[name]()

    def raises(ctx: JobContext, input: Any) -> None:
        raise value if issubclass(type(value), BaseException) else TaskError(value, code=value)

    def explains(ctx: JobContext, input: Any) -> None:
        raise TaskError("x", code="own_code", a=value, b=[value])

    def says(ctx: JobContext, input: Any) -> Iterator[Any]:
        yield value

    codes = [
        ends_once(function)[1]["error"]["code"]
        for function in (lambda ctx, input: value, lambda ctx, input: [value], says)
    ]

    assert set(codes) <= {"invalid_output", "task_failed"}
    assert ends_once(raises)[0] == "job.failed"
    assert ends_once(explains)[1]["error"]["code"] == "own_code"


def test_an_error_keeps_what_json_can_say_of_its_extras() -> None:
    def raises(ctx: JobContext, input: Any) -> None:
        raise TaskError("no", code="late", when=DAY, line=3, file="a\udcff.csv")

    kind, data = ends_once(raises)

    assert kind == "job.failed"
    assert data["error"]["code"] == "late"
    assert data["error"]["when"] == "2026-01-02T03:04:05+00:00"
    assert data["error"]["line"] == 3
    assert data["error"]["file"] == "a\ufffd.csv"


@pytest.mark.parametrize("stop", [Interrupted("by itself"), Superseded("by itself")])
def test_a_task_cannot_hand_its_job_over_by_itself(stop: BaseException) -> None:
    def raises(ctx: JobContext, input: Any) -> None:
        raise stop

    assert ends_once(raises)[0] == "job.failed"


@pytest.mark.parametrize(
    "media_type",
    ["text/plain\r\nX-Evil: 1", "text/pläin", "текст/plain", "text", "", " ", "a/b; c", 5, None],
)
def test_a_media_type_that_no_header_can_carry_is_refused(media_type: Any) -> None:
    kind, data = ends_once(lambda ctx, input: ctx.artifact("a.txt", "x", media_type=media_type))

    assert kind == "job.failed"
    assert data["error"]["code"] == "invalid_media_type"


@pytest.mark.parametrize(
    "media_type",
    ["image/svg+xml", "text/csv; charset=utf-8", 'text/x; a="b c"', "application/vnd.a.b-c+json"],
)
def test_media_types_of_the_usual_kinds_are_taken(media_type: str) -> None:
    kind, _ = ends_once(lambda ctx, input: ctx.artifact("a.txt", "x", media_type=media_type))

    assert kind == "job.completed"


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({"code": 5}, {"code": "5"}),
        ({"code": "c" * 100_000}, {"code": "c" * 100 + "…"}),
        ({"status": "abc"}, {"status": 500}),
        ({"status": True}, {"status": 500}),
        ({"status": 404}, {"status": 404}),
        ({"type": 5, "title": []}, {"type": "about:blank", "title": "The job failed"}),
    ],
)
def test_what_everybody_reads_of_a_failure_is_of_its_kind(
    extra: dict[str, Any], expected: dict[str, Any]
) -> None:
    def odd(ctx: JobContext, input: Any) -> None:
        raise TaskError("it is odd", **extra)

    error = ends_once(odd)[1]["error"]

    assert {name: error[name] for name in expected} == expected


def test_halves_of_characters_are_joined_wherever_a_task_says_them() -> None:
    def halves(ctx: JobContext, input: Any) -> Iterator[str]:
        said = ["up \ud83d", "\ude80 and half \ud83d", "!", "\ud83d"]
        yield from said
        ctx.text("\ud83d", item="other")
        ctx.text("\ude80", item="other")
        return {"text": "".join(said), "step": ctx.step("join", lambda: "\ud83d" + "\ude80")}

    made = task("halves")(halves)
    house = House(made)
    job = house.run(made)

    text = "up 🚀 and half \ufffd!\ufffd"
    assert house.end(job).data["output"] == {"text": text, "step": "🚀"}
    told: dict[str, str] = {}
    for each in house.data(job, "text.delta"):
        told[each["item"]] = told.get(each["item"], "") + each["text"]
    assert told == {"answer": text, "other": "🚀"}


def test_a_task_that_configures_logging_has_its_error_in_the_log_all_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fails(ctx: JobContext, input: Any) -> None:
        logging.config.dictConfig({"version": 1})
        raise KeyError("its own")

    caplog.set_level(logging.ERROR)
    turned_on = [each for each in all_loggers() if not each.disabled]
    try:
        ends_once(fails)
    finally:
        for each in turned_on:
            each.disabled = False
    assert "KeyError: 'its own'" in caplog.text


def all_loggers() -> list[logging.Logger]:
    """The loggers of all modules, of this package and of others."""
    return [logging.getLogger(name) for name in list(logging.Logger.manager.loggerDict)]


def test_a_log_handler_that_fails_keeps_no_job_from_ending(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Closed(logging.Handler):
        def handle(self, record: logging.LogRecord) -> bool:
            raise ValueError("I/O operation on closed file")

    def fails(ctx: JobContext, input: Any) -> None:
        raise KeyError("its own")

    log, handler = logging.getLogger("streaming"), Closed()
    caplog.set_level(logging.ERROR)
    log.addHandler(handler)
    try:
        kind, data = ends_once(fails)
    finally:
        log.removeHandler(handler)
    assert (kind, data["error"]["code"]) == ("job.failed", "task_failed")
