"""What answers to the protocols of others: upstream models, and tasks that say `answers`."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel

from streaming.errors import BadRequest, NotFound
from streaming.events.vocabulary import JsonObject
from streaming.protocols.question import CHAT_PARAMETERS
from streaming.running.task import Task
from streaming.tasks.completion import completion
from streaming.web.services import services

#: The model of a service without an upstream.
SIMULATED = "simulated"
#: Epoch seconds that clients are told of a model's making: nobody knows.
MADE_AT, MADE_ON = 1735689600, "2025-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Answering:
    """A model, and the task whose jobs are its answers."""

    name: str
    task: Task

    @property
    def is_upstream(self) -> bool:
        """Whether its answers are those of a model server; else of a task of the app's own."""
        return self.task.name == completion.name

    @property
    def takes(self) -> frozenset[str] | None:
        """The members that the task's input may have; None for any.

        A task that does not say what it takes is given what clients of Chat Completions send.
        """
        model: type[BaseModel] | None = self.task.input
        if model is None:
            return CHAT_PARAMETERS
        if model.model_config.get("extra") == "allow":
            return None
        aliases = {field.alias for field in model.model_fields.values() if field.alias}
        return frozenset(model.model_fields) | aliases

    def shown(self) -> JsonObject:
        """As OpenAI's and Anthropic's clients read it."""
        return {
            "id": self.name,
            "object": "model",
            "created": MADE_AT,
            "owned_by": "upstream" if self.is_upstream else "task",
            "type": "model",
            "display_name": self.name if self.is_upstream else self.task.title,
            "created_at": MADE_ON,
        }


def listed() -> list[Answering]:
    """All that answers, the upstream models first, in the order of the settings."""
    found = services()
    task = found.tasks.find(completion.name)
    names = found.settings.llm_models or (SIMULATED,)
    upstream = [] if task is None else [Answering(name, task) for name in names]
    known = {each.name for each in upstream}
    tasks = (task for task in found.tasks if task.answers and task.name not in known)
    return [*upstream, *(Answering(task.name, task) for task in tasks)]


def find_model(name: str) -> Answering:
    """The model of that name, "" for the first; `NotFound` with code `model_not_found`."""
    known = listed()
    if not name and known:
        return known[0]
    for each in known:
        if each.name == name:
            return each
    if not known:
        raise BadRequest("there is no model here", code="model_not_found")
    names = ", ".join(each.name for each in known[:20])
    raise NotFound(
        f"there is no model {name[:80]!r}; there are: {names}",
        code="model_not_found",
        errors=[{"field": "model", "message": "no such model"}],
    )
