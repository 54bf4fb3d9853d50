"""What the client's types say that the server takes, against what it takes."""

from __future__ import annotations

from streaming.client.types import JobOptions, JobsQuery
from streaming.web.commands import SubmitBody
from streaming.web.schemas import ListQuery


def test_the_options_of_a_job_are_the_fields_of_its_submission() -> None:
    assert JobOptions.__annotations__.keys() == SubmitBody.model_fields.keys() - {"task", "input"}


def test_the_query_of_a_list_is_that_of_the_route() -> None:
    assert JobsQuery.__annotations__.keys() == ListQuery.model_fields.keys()
