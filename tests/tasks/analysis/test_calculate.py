from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest

from streaming.tasks.analysis.calculate import calculate, days


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1 + 2 * 3", 7),
        ("(1+2)^2", 9),
        ("-7 // 2", -4),
        ("10 % 4 − 1", 1),
        ("sqrt(16) + max(1, 2)", 6),
        ("6 ÷ 4 × 2", 3),
    ],
)
def test_an_expression_has_its_value(expression: str, value: float) -> None:
    assert calculate(expression) == value


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "1/0",
        "9**9**9",
        "__import__('os')",
        "open('x')",
        "(1).real",
        "x",
        "'a'*9",
        "[1]*9",
        "1e308*10",
        "sqrt(0-1)",
        "(0-1)**0.5",
        "1" * 300,
        "(" * 150,
        "round(1, ndigits=2)",
        "True",
    ],
)
def test_what_is_no_sum_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match="."):
        calculate(expression)


@pytest.mark.parametrize(
    ("expression", "answer"),
    [
        ("today", "2024-03-01"),
        ("today - 1 day", "2024-02-29"),
        ("2024-12-31 + 1 days", "2025-01-01"),
        ("from 2024-01-01 to 2024-03-01", "60 days"),
    ],
)
def test_days_are_counted(expression: str, answer: str) -> None:
    assert days(expression, today=date(2024, 3, 1)) == answer


@pytest.mark.parametrize("expression", ["soon", "2024-13-01", "today + 999999 days 2024-99-99"])
def test_what_is_no_day_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match="."):
        days(expression, today=date(2024, 3, 1))


@pytest.fixture
def switching() -> Iterator[None]:
    """Threads switch at every chance, and the garbage collector gives many."""
    interval, thresholds = sys.getswitchinterval(), gc.get_threshold()

    def collected(*_: object) -> None:
        sum(range(50))

    gc.callbacks.append(collected)
    gc.set_threshold(20, 1, 1)
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)
    gc.set_threshold(*thresholds)
    gc.callbacks.remove(collected)


@pytest.mark.usefixtures("switching")
def test_many_threads_may_calculate_at_once() -> None:
    long = "+".join(["(1-2)*3"] * 24)

    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: calculate(long), range(300)))

    assert found == {-72}
