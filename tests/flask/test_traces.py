"""OpenTelemetry: a job's spans are below the request that has submitted it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from streaming import JobContext, Streaming
from streaming.running.origin import Origin
from streaming.server.mount import mount_of
from streaming.testing import running

Json = Any

_exporter = InMemorySpanExporter()
_provider = TracerProvider()
_provider.add_span_processor(SimpleSpanProcessor(_exporter))
trace.set_tracer_provider(_provider)  # a process has one


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    _exporter.clear()
    return _exporter


def make_app() -> Flask:
    app = Flask("traced")
    streaming = Streaming(app)

    @streaming.task("answer", steps=["think", "say"])
    def answer(ctx: JobContext, input: Json) -> Iterator[str]:
        ctx.step("think", lambda: None)
        text = ctx.step("say", ctx.llm.stream, "why", max_tokens=7, tokens_per_s=0)
        yield str(text)

    @streaming.task("fails")
    def fails(ctx: JobContext, input: Json) -> None:
        raise LookupError("no such thing")

    @app.post("/ask")
    def ask() -> Json:
        with trace.get_tracer("host").start_as_current_span("POST /ask"):
            return streaming.submit("answer", {})

    return app


def by_name(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in exporter.get_finished_spans()}


def parent(spans: dict[str, ReadableSpan], name: str) -> str | None:
    above = spans[name].parent
    found = [
        each.name for each in spans.values() if above and each.context.span_id == above.span_id
    ]
    return next(iter(found), None)


def test_spans_lead_from_the_request_to_the_models_call(exporter: InMemorySpanExporter) -> None:
    app = make_app()
    with running(app) as jobs:
        job = jobs.find(app.test_client().post("/ask").get_json()["id"]).wait()
    spans = by_name(exporter)

    assert job.status == "completed", job.error
    assert {name: parent(spans, name) for name in spans} == {
        "POST /ask": None,
        "submit answer": "POST /ask",
        "job answer": "submit answer",
        "step think": "job answer",
        "step say": "job answer",
        "chat simulated": "step say",
    }
    call = dict(spans["chat simulated"].attributes or {})
    assert call["gen_ai.operation.name"] == "chat"
    assert call["gen_ai.request.model"] == "simulated"
    assert call["gen_ai.request.max_tokens"] == 7
    assert call["gen_ai.usage.output_tokens"] == 7
    attempt = dict(spans["job answer"].attributes or {})
    assert (attempt["streaming.job"], attempt["streaming.attempt"]) == (job.id, 1)
    assert all("traceparent" not in str(event) for event in job.events)


def test_a_task_that_fails_says_so_in_its_span(exporter: InMemorySpanExporter) -> None:
    with running(make_app()) as jobs:
        jobs.run("fails")
    span = by_name(exporter)["job fails"]

    assert span.status.status_code is trace.StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "LookupError"


def test_the_context_is_kept_with_the_job(exporter: InMemorySpanExporter) -> None:
    app = make_app()
    with running(app) as jobs:
        job = jobs.run("fails")
        kept = Origin.of(mount_of(app).server.services().storage.log.records(job.id))
        submitted = by_name(exporter)["submit fails"].context

    assert kept.trace["traceparent"].split("-")[1] == f"{submitted.trace_id:032x}"
