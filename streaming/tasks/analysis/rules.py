"""Rules over figures: when an alert fires and when it is resolved. No clock of its own, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from streaming.events.vocabulary import JsonObject

State = Literal["firing", "resolved"]


class Rule(BaseModel):
    """A figure beyond a bound for some time is an alert, until it is well back behind it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="Names the alert", min_length=1, max_length=100)
    metric: str = Field(description="The figure that it looks at", min_length=1, max_length=100)
    labels: dict[str, str] = Field(default={}, description="Only figures that carry these labels")
    above: float | None = Field(default=None, description="Fires when the figure is above this")
    below: float | None = Field(default=None, description="Fires when the figure is below this")
    for_s: float = Field(
        default=0, title="Duration", description="Seconds that it must last", ge=0, le=86400
    )
    clear: float | None = Field(
        default=None,
        description="Resolved when the figure is back at this; none: at the bound itself",
    )
    severity: Literal["info", "warning", "critical"] = "warning"

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if (self.above is None) == (self.below is None):
            raise ValueError("a rule has exactly one of above and below")
        if self.clear is not None and self._beyond(self.clear):
            raise ValueError("clear must lie on the good side of the bound")
        return self

    def _beyond(self, value: float) -> bool:
        if self.above is not None:
            return value > self.above
        return self.below is not None and value < self.below

    def fires_at(self, value: float) -> bool:
        return self._beyond(value)

    def is_clear(self, value: float) -> bool:
        """Whether the figure is far enough back for the alert to be over."""
        if self.clear is None:
            return not self._beyond(value)
        return value <= self.clear if self.above is not None else value >= self.clear

    def applies_to(self, name: str, labels: Mapping[str, str]) -> bool:
        return name == self.metric and self.labels.items() <= labels.items()

    def describe(self, value: float, state: State) -> str:
        """A sentence for people."""
        side, bound = ("above", self.above) if self.above is not None else ("below", self.below)
        if state == "resolved":
            return f"{self.metric} is {value:g} again"
        lasted = f" for {self.for_s:g} s" if self.for_s else ""
        return f"{self.metric} is {value:g}, {side} {bound:g}{lasted}"


class Watch:
    """A rule, and since when its figure is beyond the bound."""

    def __init__(self, rule: Rule, *, firing: bool = False) -> None:
        self.rule = rule
        self.firing = firing
        self._since: float | None = None

    def look(self, value: float, now: float) -> State | None:
        """What has changed with this figure, if anything; `now` in seconds of any clock."""
        if self.firing:
            if self.rule.is_clear(value):
                self.firing, self._since = False, None
                return "resolved"
            return None
        if not self.rule.fires_at(value):
            self._since = None
            return None
        self._since = now if self._since is None else self._since
        if now - self._since < self.rule.for_s:
            return None
        self.firing = True
        return "firing"


class RuleBook:
    """All rules together; each alert by the rule's name."""

    def __init__(self, rules: list[Rule], firing: list[str]) -> None:
        """`firing`: the rules whose alerts fire already."""
        self._watches = [Watch(rule, firing=rule.name in firing) for rule in rules]

    def look(
        self, name: str, value: float, labels: Mapping[str, str], now: float
    ) -> list[JsonObject]:
        """The alerts that a figure raises or resolves: arguments for `ctx.alert`."""
        changed = []
        for watch in self._watches:
            if watch.rule.applies_to(name, labels):
                state = watch.look(value, now)
                if state is not None:
                    changed.append(_alert(watch.rule, value, state))
        return changed

    def firing(self) -> list[str]:
        return [watch.rule.name for watch in self._watches if watch.firing]


def _alert(rule: Rule, value: float, state: State) -> JsonObject:
    return {
        "rule": rule.name,
        "message": rule.describe(value, state),
        "severity": rule.severity,
        "value": value,
        "state": state,
    }
