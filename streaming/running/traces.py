"""OpenTelemetry: spans of jobs, children of the request that submitted them.

The trace context of a submission is kept in the job's private record, so that attempts in other
processes, and after a restart, are in the same trace. Spans are made by whatever tracer provider
the app has set up; without the extra [otel] nothing happens here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol, TypeVar

from streaming.errors import Interrupted, Stop
from streaming.events.vocabulary import Json, JsonMapping

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, SpanKind
    from opentelemetry.util.types import AttributeValue

F = TypeVar("F", bound=Callable[..., object])
G = TypeVar("G", bound=Callable[..., Generator[object, None, object]])

#: Whether the extra is installed.
_THERE = find_spec("opentelemetry") is not None
#: The instrumentation scope, for filters.
NAME = "streaming"


class AskedModel(Protocol):
    """A job's model, as far as spans describe it."""

    #: What its answers have cost so far.
    usage: dict[str, int]

    @property
    def name(self) -> str:
        """The model that is wanted."""


def carried(task: str) -> dict[str, str]:
    """Record a span of a job's submission; its context as W3C headers, empty without one."""
    if not _THERE:
        return {}
    from opentelemetry import propagate, trace

    found: dict[str, str] = {}
    attributes = {"streaming.task": task}
    tracer = trace.get_tracer(NAME)
    with tracer.start_as_current_span(
        f"submit {task}", kind=trace.SpanKind.PRODUCER, attributes=attributes
    ):
        propagate.inject(found)
    return found


@contextmanager
def span_of_attempt(
    task: str, job: str, attempt: int, headers: Mapping[str, str]
) -> Iterator[None]:
    """Run the block, the code of an attempt, as a span in the submission's trace."""
    if not _THERE:
        yield
        return
    from opentelemetry import propagate, trace

    attributes: dict[str, AttributeValue] = {
        "streaming.task": task,
        "streaming.job": job,
        "streaming.attempt": attempt,
    }
    outer = propagate.extract(dict(headers))
    with _span(f"job {task}", attributes, trace.SpanKind.CONSUMER, outer):
        yield


def in_span_of_step(method: F) -> F:
    """Have `method(self, id, …)`, which runs a step, be a span."""
    if not _THERE:
        return method

    @functools.wraps(method)
    def traced(self: object, id: str, *args: object, **kwargs: object) -> object:
        with _span(f"step {id}", {"streaming.step": id}):
            return method(self, id, *args, **kwargs)

    return traced  # type: ignore[return-value]


def in_span_of_call(method: G) -> G:
    """Have `stream(self, prompt, …)` of a job's model be a span, by the GenAI conventions."""
    if not _THERE:
        return method

    @functools.wraps(method)
    def traced(
        self: AskedModel, prompt: object, **options: Json
    ) -> Generator[object, None, object]:
        model, before = str(self.name), dict(self.usage)
        span = _start_call(model, options)
        try:
            result = yield from method(self, prompt, **options)
        except BaseException as error:
            _tell(span, error)
            raise
        finally:  # not the current span: the task's code runs between two pieces
            _tell_usage(span, before, self.usage)
            span.end()
        return result

    return traced  # type: ignore[return-value]


@contextmanager
def _span(
    name: str,
    attributes: Mapping[str, AttributeValue],
    kind: SpanKind | None = None,
    outer: Context | None = None,
) -> Iterator[None]:
    from opentelemetry import trace

    with trace.get_tracer(NAME).start_as_current_span(
        name,
        context=outer,
        kind=kind or trace.SpanKind.INTERNAL,
        attributes=dict(attributes),
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield
        except BaseException as error:
            _tell(span, error)
            raise


def _start_call(model: str, options: JsonMapping) -> Span:
    from opentelemetry import trace

    attributes: dict[str, AttributeValue] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "simulated" if model == "simulated" else "openai",
        "gen_ai.request.model": model,
    }
    for name in ("max_tokens", "seed", "temperature", "top_p"):
        if options.get(name) is not None:
            attributes[f"gen_ai.request.{name}"] = options[name]
    return trace.get_tracer(NAME).start_span(
        f"chat {model}", kind=trace.SpanKind.CLIENT, attributes=attributes
    )


def _tell_usage(span: Span, before: Mapping[str, int], after: Mapping[str, int]) -> None:
    for ours, theirs in (("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens")):
        spent = after.get(ours, 0) - before.get(ours, 0)
        span.set_attribute(f"gen_ai.usage.{theirs}", spent)


def _tell(span: Span, error: BaseException) -> None:
    """A job that was cancelled or handed over has not failed; a generator may be left early."""
    from opentelemetry.trace import Status, StatusCode

    if isinstance(error, GeneratorExit | Interrupted):
        return
    span.set_attribute("error.type", type(error).__name__)
    if not isinstance(error, Stop):
        span.record_exception(error)
    span.set_status(Status(StatusCode.ERROR, type(error).__name__))
