"""What operators and tools look at."""

from __future__ import annotations

import re
from contextlib import closing

from requests import Response

from tests.e2e.clients import Api, read_sse
from tests.e2e.server import Server
from tests.e2e.waiting import eventually

ROUTES = {
    "/v1/tasks": {"get"},
    "/v1/jobs": {"get", "post"},
    "/v1/jobs/{id}": {"get", "delete"},
    "/v1/jobs/{id}/viewers": {"get"},
    "/v1/jobs/{id}/cancel": {"post"},
    "/v1/jobs/{id}/input": {"post"},
    "/v1/jobs/{id}/artifacts/{name}": {"get"},
    "/v1/jobs/{id}/events": {"get"},
    "/v1/jobs/{id}/poll": {"get"},
    "/v1/events": {"get"},
    "/v1/files": {"post"},
}


def test_the_process_is_alive_and_ready(api: Api) -> None:
    assert api.get("/healthz").status_code == 200
    assert api.get("/readyz").json()["ready"] is True


def test_metrics_count_open_streams_and_running_jobs(narrow: Server) -> None:
    api = narrow.api
    job = api.submit("asking")

    with closing(read_sse(api, job)) as events:
        next(events)
        api.reach(job, "waiting_for_input")
        shown = eventually(lambda: with_running_jobs(api), "a job that runs is counted")

    assert shown.headers["Content-Type"].startswith("text/plain")
    assert re.search(r"^streaming_open_streams\{.*sse.*\} 1\.0$", shown.text, re.MULTILINE)
    api.cancel(job)


def with_running_jobs(api: Api) -> Response | None:
    shown = api.get("/metrics")
    return shown if re.search(r"^streaming_jobs_running [1-9]", shown.text, re.MULTILINE) else None


def test_the_openapi_document_describes_every_route(api: Api) -> None:
    document = api.get("/openapi.json").json()

    described = {
        re.sub(r"\{\w+\}", "{}", path): set(methods) - {"parameters", "summary"}
        for path, methods in document["paths"].items()
    }
    assert document["openapi"].startswith("3.")
    for path, methods in ROUTES.items():
        assert described[re.sub(r"\{\w+\}", "{}", path)] >= methods, path


def test_references_in_the_openapi_document_lead_somewhere(api: Api) -> None:
    response = api.get("/openapi.json")

    for reference in re.findall(r'"\$ref":\s*"#/([^"]+)"', response.text):
        node = response.json()
        for part in reference.split("/"):
            node = node[part]


def test_the_docs_and_the_page_are_html(api: Api) -> None:
    for path in ("/docs", "/"):
        response = api.get(path)
        assert response.status_code == 200
        assert response.headers["Content-Type"].startswith("text/html")
        assert "<html" in response.text.lower()


def test_no_answer_is_given_from_a_cache_unasked(api: Api) -> None:
    job = api.run("plain", {"words": ["a"]})["id"]

    for path in (f"/v1/jobs/{job}", "/v1/jobs", f"/v1/jobs/{job}/poll"):
        assert api.get(path).headers["Cache-Control"] in ("no-store", "no-cache"), path


def test_head_is_answered_like_get_without_a_body(api: Api) -> None:
    job = api.run("plain", {"words": ["a"]})["id"]

    for path in ("/healthz", f"/v1/jobs/{job}", f"/v1/jobs/{job}/events"):
        response = api.request("HEAD", path)
        assert (response.status_code, response.content) == (200, b""), path
