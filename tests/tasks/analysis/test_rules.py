from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st
from pydantic import ValidationError

from streaming.tasks.analysis.rules import Rule, RuleBook, Watch


def rule(**given: Any) -> Rule:
    return Rule.model_validate({"name": "hot", "metric": "heat", **given})


def states(watch: Watch, *figures: tuple[float, float]) -> list[str | None]:
    return [watch.look(value, now) for now, value in figures]


def test_a_figure_beyond_its_bound_fires_once() -> None:
    watch = Watch(rule(above=10))

    assert states(watch, (0, 10), (1, 11), (2, 12)) == [None, "firing", None]


def test_it_must_last_without_a_break() -> None:
    watch = Watch(rule(above=10, for_s=5))

    assert states(watch, (0, 11), (3, 9), (4, 11), (8, 11), (9, 11)) == [None] * 4 + ["firing"]


def test_it_is_over_when_the_figure_is_well_back() -> None:
    watch = Watch(rule(above=10, clear=7))

    assert states(watch, (0, 11), (1, 8), (2, 11), (3, 7)) == ["firing", None, None, "resolved"]


def test_a_lower_bound_works_the_other_way_round() -> None:
    watch = Watch(rule(below=5, clear=8))

    assert states(watch, (0, 5), (1, 4), (2, 7), (3, 8)) == [None, "firing", None, "resolved"]


def test_a_book_applies_the_rules_of_a_figure_and_its_labels() -> None:
    book = RuleBook([rule(above=1, labels={"shop": "a"}), rule(name="any", above=1)], firing=[])

    alerts = book.look("heat", 2, {"shop": "b", "x": "y"}, 0)

    assert [(alert["rule"], alert["state"]) for alert in alerts] == [("any", "firing")]
    assert book.look("cold", 2, {"shop": "a"}, 0) == []
    assert book.firing() == ["any"]


def test_an_alert_that_fired_before_a_restart_is_resolved_after_it() -> None:
    book = RuleBook([rule(above=1)], firing=["hot"])

    (alert,) = book.look("heat", 0, {}, 0)

    assert (alert["state"], alert["message"]) == ("resolved", "heat is 0 again")


@pytest.mark.parametrize(
    "given", [{}, {"above": 1, "below": 0}, {"above": 1, "clear": 2}, {"below": 1, "clear": 0}]
)
def test_a_rule_that_makes_no_sense_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        rule(**given)


@given(st.lists(st.floats(0, 20)), st.integers(0, 5))
def test_firing_and_resolved_take_turns(values: list[float], lasting: int) -> None:
    watch = Watch(rule(above=10, clear=7, for_s=lasting))

    told = [state for state in states(watch, *enumerate(values)) if state]

    assert told == (["firing", "resolved"] * len(told))[: len(told)]
