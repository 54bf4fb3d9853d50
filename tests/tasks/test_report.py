from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from streaming.concurrency.stop_signal import StopSignal
from streaming.errors import Interrupted, InvalidInput, TaskError
from streaming.events.problem import problem
from streaming.llm.base import Prompt
from streaming.llm.simulated import SimulatedModel
from streaming.tasks.report import MAX_FILE_BYTES, report
from streaming.tasks.tables.options import TableOptions
from tests.tasks.conftest import OWNER, Bench

Make = Callable[..., Bench]

SALES = (Path(__file__).parents[2] / "examples" / "sales.csv").read_text()
STEPS = ["read", "trends", "anomalies", "chart", "summary"]


def column(name: str) -> list[float]:
    return [float(row[name]) for row in csv.DictReader(SALES.splitlines())]


@pytest.fixture
def sales(bench: Make) -> Bench:
    return bench(report, csv=SALES, title="Sales", tokens_per_s=0)


def test_the_steps_are_run_in_order_and_completed(sales: Bench) -> None:
    sales.run()

    run = [step["id"] for step in sales.data("step.updated") if step["status"] == "running"]
    assert run == STEPS
    assert {step["status"] for step in sales.state.steps.values()} == {"completed"}


def test_the_trends_are_those_of_the_data(sales: Bench) -> None:
    trends = {each["column"]: each for each in sales.run()["trends"]}

    assert list(trends) == ["revenue", "costs", "orders", "refunds"]
    for name, trend in trends.items():
        values = column(name)
        growth = [round((b / a - 1) * 100, 2) for a, b in zip(values, values[1:], strict=False)]
        assert trend["growth_percent"] == pytest.approx([None, *growth], abs=0.011)
        assert trend["total_growth_percent"] == round((values[-1] / values[0] - 1) * 100, 2)
        average = ((values[-1] / values[0]) ** (1 / 23) - 1) * 100
        assert trend["average_growth_percent"] == pytest.approx(average, abs=0.005)
        assert trend["best"]["growth_percent"] == max(growth)
        assert trend["worst"]["growth_percent"] == min(growth)


def test_the_anomalies_of_the_sample_are_its_two_real_ones(sales: Bench) -> None:
    anomalies = sales.run()["anomalies"]

    assert [(each["period"], each["column"], each["value"]) for each in anomalies] == [
        ("2024-03", "refunds", 10199),
        ("2024-08", "costs", 188627),
    ]
    assert {(each["rule"], each["threshold"]) for each in anomalies} == {("modified z-score", 3.5)}
    assert all(each["score"] > 3.5 for each in anomalies)


def test_the_summary_is_streamed_in_pieces_and_quotes_the_figures(sales: Bench) -> None:
    output = sales.run()

    deltas = sales.data("text.delta")
    assert {each["item"] for each in deltas} == {"summary"}
    assert "".join(each["text"] for each in deltas) == output["summary"] == sales.state.text
    assert len(deltas) > 100
    for trend in output["trends"]:
        assert f"{trend['total_growth_percent']:+.2f}%" in output["summary"]
        assert f"{trend['first']['value']:,.0f}" in output["summary"]
        assert trend["best"]["period"] in output["summary"]
    for anomaly in output["anomalies"]:
        quoted = f"{anomaly['column']} in {anomaly['period']}: {anomaly['value']:,.0f}"
        assert quoted in output["summary"]


def test_the_chart_is_an_svg_artifact(sales: Bench) -> None:
    sales.run()

    shown = {each["name"]: each for each in sales.data("artifact")}
    svg = sales.artifact("chart.svg")
    assert shown["chart.svg"]["media_type"] == "image/svg+xml"
    assert shown["chart.svg"]["size"] == len(svg)
    assert ElementTree.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"


def test_the_series_of_the_chart_are_a_json_artifact(sales: Bench) -> None:
    output = sales.run()

    series = json.loads(sales.artifact("series.json"))
    assert series["title"] == "Sales"
    assert (series["period"], len(series["periods"])) == ("month", 24)
    assert [each["column"] for each in series["series"]] == [
        "revenue",
        "costs",
        "orders",
        "refunds",
    ]
    assert series["series"][0]["values"] == column("revenue")
    assert series["anomalies"] == output["anomalies"]


def test_progress_rises_to_100(sales: Bench) -> None:
    sales.run()

    percents = [each["percent"] for each in sales.data("job.progress")]
    assert percents == sorted(percents)
    assert percents[-1] == 100
    assert len(percents) > 5


def test_an_upload_gives_the_same_report(bench: Make, sales: Bench) -> None:
    job = bench(report, file="file_x", title="Sales", tokens_per_s=0)
    job.upload("file_x", SALES.encode("utf-8-sig"))

    assert job.run() == sales.run()


def test_a_bad_file_fails_the_job_with_line_and_column(bench: Make) -> None:
    job = bench(report, file="file_x")
    job.upload("file_x", b"month,a\n1,2\n2,many\n")

    with pytest.raises(TaskError) as failure:
        job.run()

    shown = problem(failure.value)
    assert (shown["code"], shown["line"], shown["column"]) == ("bad_csv", 3, "a")
    assert job.state.steps["read"]["status"] == "failed"


def test_a_file_that_is_no_text_is_bad_csv(bench: Make) -> None:
    job = bench(report, file="file_x")
    job.upload("file_x", bytes(range(256)) * 100)

    with pytest.raises(TaskError) as failure:
        job.run()

    assert failure.value.code == "bad_csv"


def test_a_file_over_the_limit_is_not_read_whole(bench: Make) -> None:
    job = bench(report, file="file_x")
    job.upload("file_x", b"p,a\n1,2\n" + b"\n" * MAX_FILE_BYTES)

    with pytest.raises(TaskError) as failure:
        job.run()

    assert failure.value.code == "file_too_large"


def test_the_file_of_somebody_else_is_not_there(bench: Make) -> None:
    job = bench(report, file="file_x")
    job.upload("file_x", SALES.encode(), owner=OWNER + " else")

    with pytest.raises(TaskError) as failure:
        job.run()

    assert failure.value.code == "file_not_found"


class Interrupting(SimulatedModel):
    """Stops the job after some tokens."""

    def stream(self, prompt: Prompt, stop: StopSignal) -> Iterator[str]:
        for number, piece in enumerate(super().stream(prompt, stop)):
            if number == 30:
                stop.set(Interrupted("the server goes down"))
            yield piece


def test_a_later_attempt_goes_on_from_the_last_step_that_was_finished(sales: Bench) -> None:
    with pytest.raises(Interrupted):
        sales.run(model=Interrupting())
    assert len(sales.data("text.delta")) == 30

    output = sales.run()

    run = [step["id"] for step in sales.data("step.updated") if step["status"] == "running"]
    assert run == [*STEPS, "summary"]
    assert output["summary"] == sales.state.text
    assert [each["name"] for each in sales.data("artifact")] == ["chart.svg", "series.json"]


def refused(**data: Any) -> InvalidInput:
    with pytest.raises(InvalidInput) as refusal:
        report.validate(data)
    return refusal.value


def test_bad_csv_in_the_input_is_refused_with_line_and_column() -> None:
    shown = problem(refused(csv="month,a\n1,2\n2,x\n"))

    assert (shown["status"], shown["line"], shown["column"]) == (422, 3, "a")
    assert [each["field"] for each in shown["errors"]] == ["input.csv"]
    assert shown["detail"] == "input.csv: line 3, column 'a': 'x' is not a number"


@pytest.mark.parametrize(
    "file", ["", "sales.csv", "../../etc/passwd", "file_", "file_a\0", "file_a/b"]
)
def test_what_is_no_file_id_is_refused(file: str) -> None:
    assert [each["field"] for each in problem(refused(file=file))["errors"]] == ["input.file"]


def test_no_csv_at_all_is_refused_with_line_and_column() -> None:
    shown = problem(refused(csv=""))

    assert (shown["status"], shown["line"], shown["column"]) == (422, 1, 1)


@pytest.mark.parametrize("source", [{}, {"csv": SALES, "file": "file_x"}, {"title": "Sales"}])
def test_exactly_one_source_is_needed(source: dict[str, Any]) -> None:
    assert "exactly one of csv and file" in refused(**source).detail


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", ""),
        ("title", "x" * 201),
        ("tokens_per_s", -1),
        ("tokens_per_s", 10_001),
        ("csv", 5),
        ("sheet", 1),
    ],
)
def test_what_is_beyond_the_limits_is_refused_by_its_name(field: str, value: object) -> None:
    errors = refused(**{"csv": SALES, field: value}).extra["errors"]

    assert [each["field"] for each in errors] == [f"input.{field}"]


def test_defaults_are_those_of_the_contract() -> None:
    assert report.validate({"csv": SALES}).tokens_per_s == 20


def test_every_field_is_shown_with_a_title_and_a_description() -> None:
    schema = report.describe()["input_schema"]

    assert list(schema["properties"])[:4] == ["csv", "file", "title", "tokens_per_s"]
    assert set(schema["properties"]) >= set(TableOptions.model_fields)
    assert all(field["title"] and field["description"] for field in schema["properties"].values())
