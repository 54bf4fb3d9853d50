"""Files that go in and files that come out."""

from __future__ import annotations

from contextlib import closing
from http.client import HTTPConnection
from urllib.parse import quote

import pytest

from tests.e2e.clients import Api
from tests.e2e.reading import of_type
from tests.e2e.server import ROOT

PAGE = "<!doctype html><script>alert(1)</script>é"


def make(api: Api, name: str, *versions: str, media_type: str = "text/html") -> str:
    input = {"name": name, "versions": versions, "media_type": media_type}
    return api.run("making", input)["id"]


def upload(api: Api, data: bytes, name: str = "data.csv") -> str:
    response = api.post("/v1/files", files={"file": (name, data)})
    assert response.status_code in (200, 201), response.text
    return response.json()["files"][0]["id"]


def test_an_artifact_is_served_so_that_it_cannot_do_harm(api: Api) -> None:
    job = make(api, "page.html", PAGE)

    response = api.get(f"/v1/jobs/{job}/artifacts/page.html")

    assert (response.status_code, response.content) == (200, PAGE.encode())
    assert response.headers["Content-Type"].split(";")[0] == "text/html"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Content-Security-Policy"] == (
        "sandbox; default-src 'none'; style-src 'unsafe-inline'"
    )


def test_an_artifact_is_announced_with_its_size_and_address(api: Api) -> None:
    job = make(api, "page.html", PAGE)

    (event,) = of_type(api.log_of(job), "artifact")

    assert event["data"].pop("media_type").startswith("text/html")
    assert event["data"] == {
        "name": "page.html",
        "size": len(PAGE.encode()),
        "href": f"/v1/jobs/{job}/artifacts/page.html",
    }


def test_made_again_the_newest_artifact_wins(api: Api) -> None:
    job = make(api, "a.txt", "first", "second, longer", media_type="text/plain")

    (shown,) = api.snapshot(job)["artifacts"]

    assert api.get(f"/v1/jobs/{job}/artifacts/a.txt").text == "second, longer"
    assert shown["size"] == len("second, longer")


def test_an_unknown_artifact_is_404(api: Api) -> None:
    job = make(api, "a.txt", "text")

    for name in ("b.txt", ".hidden", "..", "%2e%2e%2fa.txt", "a.txt%00", "ä.txt", "x" * 101):
        assert status_of(api, f"/v1/jobs/{job}/artifacts/{name}") == 404, name


def status_of(api: Api, path: str) -> int:
    """Of a GET whose path is sent as it is: other clients would take `..` out of it."""
    with closing(HTTPConnection(api.url.removeprefix("http://"), timeout=10)) as connection:
        connection.request("GET", quote(path, safe="/%"), headers=api.headers)
        return connection.getresponse().status


@pytest.mark.parametrize("name", [".hidden", "a/b", "..", "", "ä", "x" * 101, "a b"])
def test_a_task_cannot_give_an_artifact_such_a_name(api: Api, name: str) -> None:
    shown = api.run("making", {"name": name, "versions": ["text"]})

    assert (shown["status"], shown["artifacts"]) == ("failed", [])


def test_a_report_on_an_uploaded_file_is_computed_from_it(api: Api) -> None:
    csv = (ROOT / "examples" / "sales.csv").read_bytes()
    file = upload(api, csv)

    shown = api.run("report", {"file": file, "title": "Sales", "tokens_per_s": 0})
    inline = api.run("report", {"csv": csv.decode(), "title": "Sales", "tokens_per_s": 0})

    assert file.startswith("file_")
    assert shown["status"] == "completed"
    assert shown["output"] == inline["output"]
    assert [step["status"] for step in shown["steps"]] == ["completed"] * 5
    assert {each["name"] for each in shown["artifacts"]} == {"chart.svg", "series.json"}
    assert shown["output"]["summary"] == shown["text"]


def test_the_chart_of_a_report_is_an_svg_and_the_series_are_json(api: Api) -> None:
    csv = "month,revenue\n2024-01,10\n2024-02,20\n2024-03,15\n"
    job = api.run("report", {"csv": csv, "tokens_per_s": 0})["id"]

    chart = api.get(f"/v1/jobs/{job}/artifacts/chart.svg")
    series = api.get(f"/v1/jobs/{job}/artifacts/series.json")

    assert chart.headers["Content-Type"].startswith("image/svg+xml")
    assert chart.text.lstrip().startswith("<svg")
    assert "20" in series.text
    series.json()


def test_bad_csv_inline_is_422_with_line_and_column(api: Api) -> None:
    csv = "month,revenue\n2024-01,10\n2024-02,many\n"

    response = api.post("/v1/jobs", json={"task": "report", "input": {"csv": csv}})

    problem = response.json()
    assert response.status_code == 422
    assert problem["errors"][0]["field"] == "input.csv"
    assert problem["line"] == 3
    assert "column" in problem


def test_bad_csv_in_a_file_fails_the_job_with_line_and_column(api: Api) -> None:
    file = upload(api, b"month,revenue\n2024-01,10\n2024-02,many\n")

    shown = api.run("report", {"file": file})

    assert shown["status"] == "failed"
    assert shown["error"]["line"] == 3
    assert "column" in shown["error"]


def test_a_file_that_there_is_not_fails_or_refuses_the_job(api: Api) -> None:
    body = {"task": "report", "input": {"file": "file_" + "0" * 26}}

    response = api.post("/v1/jobs", json=body, headers={"Prefer": "wait=5"})

    assert response.status_code == 422 or response.json()["status"] == "failed"


def test_several_files_may_be_uploaded_at_once(api: Api) -> None:
    files = [("file", ("a.csv", b"a")), ("file", ("b.csv", b"b"))]

    uploaded = api.post("/v1/files", files=files).json()["files"]

    assert len({each["id"] for each in uploaded}) == 2
    assert [(each["name"], each["size"]) for each in uploaded] == [("a.csv", 1), ("b.csv", 1)]


def test_an_upload_that_is_none_is_refused(api: Api) -> None:
    empty = api.post("/v1/files", data={"field": "value"})
    other = api.post("/v1/files", json={"file": "x"})

    assert empty.status_code in (400, 415, 422)
    assert other.status_code in (400, 415, 422)
    for response in (empty, other):
        assert response.headers["Content-Type"] == "application/problem+json"
