"""`@task`, and the set of tasks that a server knows."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import re
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from pydantic import BaseModel, ValidationError

from streaming.errors import InvalidInput, InvalidSettings
from streaming.events.vocabulary import Json, JsonObject

#: A task's function, called with a `JobContext` and its input: plain, a generator, or async.
TaskFunction: TypeAlias = Callable[..., object]

_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,63}")

#: How many attempts, on trial and in all, may be lost in a row without a completed step before a
#: job fails as worker_lost. On trial no other suspect ran when the worker died: this job killed it.
LOST_TRIALS, LOST_ATTEMPTS = 3, 20


@dataclass(frozen=True, slots=True)
class Step:
    """A step that a task declares: shown as pending from the start."""

    id: str
    title: str


@dataclass(frozen=True, slots=True)
class Task:
    """A registered recipe of work: a function of a `JobContext` and its input."""

    name: str
    title: str
    description: str
    function: TaskFunction
    #: The pydantic model of the input; None takes any JSON object.
    input: type[BaseModel] | None
    steps: tuple[Step, ...]
    #: Whether it runs as a greenlet under gevent: for tasks that mostly wait.
    cooperative: bool
    #: Whether a job gets another attempt when its worker is lost.
    retry: bool
    #: Whether clients may send it data unasked while it runs; a model says what.
    takes_input: bool | type[BaseModel]
    #: Units of pools that it holds while it runs (STREAMING_RESOURCES).
    needs: Mapping[str, int]
    #: What runs instead of the function when the server is loaded: less work, a lesser result.
    basic: TaskFunction | None
    #: Whether clients may start it even where only the app's views start tasks.
    open: bool
    #: Whether it is a model to other protocols: it gets `messages`, its text is the answer.
    answers: bool = False
    #: Whether lists leave it out: the service's own protocols start it.
    hidden: bool = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def validate(self, data: Json) -> object:
        """The input as the function gets it; `InvalidInput` names each bad field."""
        if self.input is None:
            return data
        try:
            return self.input.model_validate(data)
        except ValidationError as error:
            raise invalid_input(error, prefix="input") from None

    def check_fed(self, data: Json) -> None:
        """`InvalidInput` unless a running job may be sent `data`."""
        if isinstance(self.takes_input, bool):
            return
        try:
            self.takes_input.model_validate(data)
        except ValidationError as error:
            raise invalid_input(error, prefix="data") from None

    def describe(self) -> JsonObject:
        """As `GET /v1/tasks` shows it."""
        schema = {"type": "object"} if self.input is None else self.input.model_json_schema()
        return {
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "input_schema": schema,
            "steps": [{"id": step.id, "title": step.title} for step in self.steps],
        }


class _Decorator(Protocol):
    def __call__(self, function: TaskFunction) -> Task: ...


def task(
    name: str,
    title: str = "",
    *,
    steps: Sequence[str | tuple[str, str]] = (),
    input: type[BaseModel] | None = None,
    cooperative: bool = False,
    retry: bool = True,
    takes_input: bool | type[BaseModel] = False,
    needs: Mapping[str, int] | None = None,
    basic: TaskFunction | None = None,
    open: bool = False,
    answers: bool = False,
) -> _Decorator:
    """Make a task of a function `(ctx, input)`: plain, a generator, or async.

    A generator's strings are text, its return value is the output. `steps` are ids, or
    (id, title). The docstring's first paragraph is the description. With `answers`, the task is a
    model to OpenAI's and other clients: its input has `messages` (in OpenAI's form, `content` a
    string or parts), and its text is the answer.
    """
    check_name(name)
    if isinstance(steps, str):
        raise TypeError(f"task {name!r}: steps is a list of ids, or of pairs (id, title)")
    _check_model(name, input)
    if any(units < 1 for units in (needs or {}).values()):
        raise ValueError(f"task {name!r} needs less than one unit of something")
    declared = tuple(
        Step(step, step.replace("_", " ").capitalize()) if isinstance(step, str) else Step(*step)
        for step in steps
    )
    if len({step.id for step in declared}) != len(declared):
        raise ValueError(f"task {name!r} declares a step twice")

    def decorate(function: TaskFunction) -> Task:
        _check_signature(name, function)
        is_async = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
        if cooperative and is_async:
            raise ValueError(f"task {name!r}: an async task needs a thread, not cooperative=True")
        description = (inspect.getdoc(function) or "").partition("\n\n")[0].replace("\n", " ")
        return Task(
            name=name,
            title=title or name.replace("_", " ").capitalize(),
            description=description,
            function=function,
            input=input,
            steps=declared,
            cooperative=cooperative,
            retry=retry,
            takes_input=takes_input,
            needs=dict(needs or {}),
            basic=basic,
            open=open,
            answers=answers,
        )

    return decorate


def check_name(name: object) -> None:
    """`ValueError` or `TypeError` for a name that a task may not have."""
    if callable(name):
        raise TypeError('@task needs the name of its task: @task("answer")')
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"task name {name!r}: lower-case letters, digits, '_', '.', '-'")


def _check_model(name: str, model: object) -> None:
    if model is not None and not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise TypeError(f"task {name!r}: input is a pydantic model, not {model!r:.80}")


def _check_signature(name: str, function: object) -> None:
    """`TypeError` for what cannot be called with `(ctx, input)`."""
    wanted = f"task {name!r} is to be a function of two arguments, (ctx, input)"
    if not callable(function):
        raise TypeError(f"{wanted}, not {function!r:.80}")
    try:
        signature = inspect.signature(function)
    except ValueError:  # of C, which has none
        return
    try:
        signature.bind(None, None)
    except TypeError as error:
        raise TypeError(
            f"{wanted}; {getattr(function, '__name__', 'it')}{signature} is none"
        ) from error


class TaskRegistry:
    """The tasks of one server, by name."""

    def __init__(self, tasks: Iterable[Task] = ()) -> None:
        self._tasks: dict[str, Task] = {}
        for each in tasks:
            self.add(each)

    def add(self, new: Task) -> Task:
        """Register a task; two different tasks must not share a name."""
        known = self._tasks.setdefault(new.name, new)
        if known is not new:
            raise InvalidSettings(f"there are two tasks named {new.name!r}")
        return new

    def replace(self, new: Task) -> None:
        """Register a task in place of the one that had its name."""
        self._tasks[new.name] = new

    def load(self, modules: Iterable[str]) -> None:
        """Register every task of the modules; `InvalidSettings` names one that does not import."""
        for name in modules:
            try:
                module = importlib.import_module(name)
            except (Exception, SystemExit) as error:  # the module's code may raise anything
                message = f"STREAMING_TASKS={name}: {type(error).__name__}: {error}{_place(error)}"
                raise InvalidSettings(message) from error
            found = [each for each in vars(module).values() if isinstance(each, Task)]
            if not found:
                raise InvalidSettings(f"STREAMING_TASKS={name}: the module has no @task function")
            for each in found:
                self.add(each)

    def digest(self) -> str:
        """Equal for registries whose tasks have the same names, inputs and ways to run."""
        told = [
            {**each.describe(), "retry": each.retry, "needs": dict(each.needs)} for each in self
        ]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    def find(self, name: str) -> Task | None:
        return self._tasks.get(name)

    def get(self, name: str) -> Task:
        """The task; `InvalidInput` lists the known ones when there is none of that name."""
        found = self.find(name)
        if found is None:
            known = ", ".join(each.name for each in self if not each.hidden) or "none"
            message = f"there is no task {name[:80]!r}; there are: {known}"
            raise InvalidInput.of([("task", message)], code="unknown_task")
        return found

    def __iter__(self) -> Iterator[Task]:
        return iter(sorted(self._tasks.values(), key=lambda each: each.name))


def _place(error: BaseException) -> str:
    """Where in the module's own code an import went wrong: ` (file, line 3)`."""
    ours = (__file__, importlib.__file__)
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename not in ours and not frame.filename.startswith("<frozen")
    ]
    return f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""


def invalid_input(error: ValidationError, *, prefix: str = "") -> InvalidInput:
    """A pydantic error as ours: each field by its path, with a validator's `extra` members."""
    errors: list[tuple[str, str]] = []
    extra: dict[str, object] = {}
    for item in error.errors(include_url=False, include_input=False):
        path = [str(part) for part in item["loc"]]
        field = ".".join([prefix, *path] if prefix else path)
        context = item.get("ctx") or {}
        cause = context.get("error")
        extra.update(getattr(cause, "extra", {}))
        errors.append((field or "body", item["msg"].removeprefix("Value error, ")))
    return InvalidInput.of(errors, **extra)
