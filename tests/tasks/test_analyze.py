from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from streaming.errors import InvalidInput, TaskError
from streaming.events.problem import problem
from streaming.tasks.analyze import analyze
from tests.tasks.conftest import Bench

Make = Callable[..., Bench]
#: A job that has run, and its output.
Analysis = tuple[Bench, Any]


def measurements(count: int) -> bytes:
    dice = random.Random(3)
    lines = ["time,height,weight,group"]
    for number in range(count):
        height = dice.gauss(170, 10)
        lines.append(
            f"{number},{height:.2f},{height * 0.9 - 85 + dice.gauss(0, 4):.2f},g{number % 3}"
        )
    return "\n".join(lines).encode()


def heights() -> Bench:
    job = Bench(analyze, {"file": "file_x", "title": "Heights"})
    job.upload("file_x", measurements(5000), name="heights.csv")
    return job


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    job = heights()
    return job, job.run()


def test_the_output_sums_up_the_columns(analysis: Analysis) -> None:
    _, output = analysis

    assert output["rows"] == 5000
    assert [column["type"] for column in output["columns"]] == [
        "integer",
        "number",
        "number",
        "text",
    ]
    assert output["correlations"][0]["columns"] == ["height", "weight"]
    assert 0.85 < output["correlations"][0]["r"] < 0.95


def test_each_column_of_figures_has_a_chart(analysis: Analysis) -> None:
    job, output = analysis

    assert output["charts"] == ["01-time.svg", "02-height.svg", "03-weight.svg"]
    assert all(job.artifact(name).startswith(b"<svg") for name in output["charts"])


def test_the_report_is_there_for_people_and_for_programs(analysis: Analysis) -> None:
    job, _ = analysis

    report = json.loads(job.artifact("report.json"))
    assert sum(report["distributions"]["height"]["bins"]) == 5000
    page = job.artifact("report.html").decode()
    assert "<h1>Heights</h1>" in page
    assert page.count("<svg") == 3


def test_progress_rises_to_100(analysis: Analysis) -> None:
    job, _ = analysis

    percents = [each["percent"] for each in job.data("job.progress")]
    assert percents == sorted(percents)
    assert percents[-1] == 100


def test_a_bad_file_fails_with_line_and_column_and_leaves_nothing(bench: Make) -> None:
    job = bench(analyze, file="file_x")
    job.upload("file_x", b"a,b\n1,2\n3\n")

    with pytest.raises(TaskError) as failure:
        job.run()

    shown = problem(failure.value)
    assert (shown["code"], shown["line"], shown["column"]) == ("bad_csv", 3, "b")
    assert job.state.summary.artifacts == {}


def test_a_file_that_is_not_there_fails_the_first_step(bench: Make) -> None:
    with pytest.raises(TaskError, match="no file"):
        bench(analyze, file="file_x").run()


def test_a_file_is_needed() -> None:
    with pytest.raises(InvalidInput):
        analyze.validate({"title": "x"})


def test_its_basic_variant_reads_once_and_draws_nothing() -> None:
    job = heights()

    output = job.run(basic=True)

    assert output["rows"] == 5000
    assert sorted(job.state.summary.artifacts) == ["report.html", "report.json"]
