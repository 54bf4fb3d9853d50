"""Requests made from the OpenAPI document; `scripts/bench openapi` makes many more."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.openapi import attack, cases, make_server


@pytest.mark.timeout(240)
@pytest.mark.slow
def test_no_request_has_an_answer_that_the_document_does_not_list(tmp_path: Path) -> None:
    with make_server(tmp_path) as server:
        result = attack(server.start(), examples=25, seed=1)

        assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]
        assert cases(result.stdout) > 1000
        assert "request failed:" not in server.log_text()
        assert server.api.get("/readyz").json()["streams"] == {}
