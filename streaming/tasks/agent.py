"""The task `agent`: an assistant that searches, calls tools, and answers with its sources."""

from __future__ import annotations

import json
import re
from collections.abc import Generator

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.json_schema import SkipJsonSchema

from streaming.errors import TaskError
from streaming.events.vocabulary import JsonObject
from streaming.llm.base import ToolCall, call_id
from streaming.protocols.question import last_text
from streaming.running.context import JobContext
from streaming.running.task import task
from streaming.running.uploads import FileId
from streaming.tasks.agent_tools import TABLE_TOOL, TOOLS, check_files, make_tools
from streaming.tasks.analysis.calculate import calculate
from streaming.tasks.search import keywords

#: Times that a tool is tried, and rounds of tools that a model may ask for.
TRIES, ROUNDS = 2, 3
#: Maximum calls of one round; more are left out.
MAX_CALLS = 16

SYSTEM = """\
You are an assistant who answers from documents and tools. Search first. Quote figures as the tools
give them. Cite the documents that you used as [1], [2], in the order in which they were found."""

#: Who speaks in a conversation, of the roles that messages have.
SPEAKERS = ("system", "developer", "user", "assistant")

#: One call of a tool and what came of it, as JSON that a later attempt gets again.
Called = JsonObject


class AgentInput(BaseModel):
    """The question, and what to answer it from."""

    model_config = ConfigDict(extra="forbid", title="Assistant")

    question: str = Field(
        title="Question", description="What you want to know", min_length=1, max_length=4000
    )
    documents: list[FileId] = Field(
        [],
        title="Documents",
        description="Uploaded texts to answer from; none: the handbook of this service",
        max_length=20,
    )
    table: FileId | None = Field(
        None, title="Table", description="An uploaded CSV file to look figures up in"
    )
    tokens_per_s: float = Field(
        20, title="Tokens per second", description="Speed of the simulated model", ge=0, le=10_000
    )
    #: In place of the question: a conversation, as the protocols of others have it.
    messages: SkipJsonSchema[list[JsonObject]] = []

    @model_validator(mode="before")
    @classmethod
    def _asked_last(cls, given: object) -> object:
        """The question of a conversation is what was said last."""
        if isinstance(given, dict) and "question" not in given and given.get("messages"):
            return {**given, "question": last_text(given["messages"])[:4000]}
        return given

    @property
    def before(self) -> list[JsonObject]:
        """What was said before the question."""
        return [said for said in self.messages if said.get("role") in SPEAKERS][:-1]


@task(
    "agent",
    "Assistant",
    steps=[
        ("understand", "Understand the request"),
        ("search", "Search the documents"),
        ("tools", "Call tools"),
        ("answer", "Write the answer"),
    ],
    input=AgentInput,
    answers=True,
)
def agent(ctx: JobContext, input: AgentInput) -> JsonObject:
    """Answer a question in steps: understand, search, call tools, write, with sources cited."""
    plan = ctx.step("understand", understand, ctx, input)
    found = ctx.step("search", search, ctx, input, plan)
    called = ctx.step("tools", call_tools, ctx, input, plan, found)
    answer = ctx.step("answer", write, ctx, input, [*found, *called])
    return {"answer": answer, "sources": sources(found), "tools": [*found, *called]}


def understand(ctx: JobContext, input: AgentInput) -> list[Called]:
    """The calls of tools that the model wants first."""
    ctx.llm.check()
    check_files(ctx, input.documents, input.table)
    asked = [message("system", SYSTEM), *input.before, message("user", input.question)]
    return think(ctx, input, asked, script=simulated_plan(input))


def search(ctx: JobContext, input: AgentInput, plan: list[Called]) -> list[Called]:
    """What the documents say. Without a search an answer would be made up: its failure ends it."""
    wanted = [call for call in plan if call["name"] == "search"]
    wanted = wanted or [call_of("search", query=input.question)]
    return [run_tool(ctx, input, call, needed=True) for call in wanted[:3]]


def call_tools(
    ctx: JobContext, input: AgentInput, plan: list[Called], found: list[Called]
) -> list[Called]:
    """Round by round, until the model wants no more. A tool that fails is left out."""
    called: list[Called] = []
    wanted = [call for call in plan if call["name"] != "search"]
    for _ in range(ROUNDS):
        ctx.progress(len(called), len(called) + len(wanted))
        called += [run_tool(ctx, input, call, needed=False) for call in wanted]
        if not called:
            break
        wanted = think(ctx, input, conversation(input, [*found, *called]), script=[])
        if not wanted:
            break
    return called


def write(ctx: JobContext, input: AgentInput, called: list[Called]) -> Generator[str, None, str]:
    """Yield the answer, return it whole."""
    script, size = simulated_answer(called), 0
    text: list[str] = []
    pace = ctx.llm.pace()
    for number, token in enumerate(
        ctx.llm.stream(
            conversation(input, called),
            may_call=False,
            script=script,
            tokens_per_s=input.tokens_per_s,
        ),
        start=1,
    ):
        yield token
        text.append(token)
        done, total, _ = pace(number)
        if ctx.llm.simulated:  # it gives its script
            size += len(token)
            done, total = size, len(script) + 1
        ctx.progress(done, total, estimated=True)
    return "".join(text)


def think(
    ctx: JobContext, input: AgentInput, messages: list[JsonObject], *, script: list[Called]
) -> list[Called]:
    """What the model wants called; what it says meanwhile is its thinking."""
    calls = tuple(ToolCall(c["id"], c["name"], json.dumps(c["arguments"])) for c in script)
    thinking = f"I look for: {', '.join(keywords(input.question))}. " if script else ""
    answer = ctx.llm.stream(
        messages,
        tools=TOOLS + ((TABLE_TOOL,) if input.table else ()),
        is_step=True,
        script="",
        calls=calls,
        thinking=thinking,
        tokens_per_s=input.tokens_per_s,
    )
    while True:
        try:
            ctx.reasoning(next(answer))
        except StopIteration as end:
            return [asked_call(call) for call in end.value[:MAX_CALLS]]


def asked_call(call: ToolCall) -> Called:
    """A call as the model has it; arguments that are none are what its result will say."""
    try:
        return {"id": call.id, "name": call.name, "arguments": call.parsed()}
    except TaskError as error:
        return {"id": call.id, "name": call.name, "arguments": {}, "error": error.detail}


def run_tool(ctx: JobContext, input: AgentInput, call: Called, *, needed: bool) -> Called:
    """Call a tool, once more if it fails; with its output, or its error where it is not needed."""
    tools, said = make_tools(ctx, input.documents, input.table), ""
    for tried in range(1, TRIES + 1):
        try:
            if "error" in call:
                raise TaskError(call["error"], code="bad_tool_arguments")
            if call["name"] not in tools:
                raise TaskError(f"there is no tool {call['name']!r}", code="unknown_tool")
            output = ctx.tool(call["name"], tools[call["name"]], **call["arguments"])
            return {**call, "output": output}
        except Exception as error:
            said = str(error) or type(error).__name__
            if tried == TRIES and needed:
                message = f"the tool {call['name']} failed: {said}"
                raise TaskError(message, code="tool_failed") from error
    ctx.log(f"the tool {call['name']} is left out: {said}", level="warning")
    return {**call, "error": said}


def conversation(input: AgentInput, called: list[Called]) -> list[JsonObject]:
    """What was said and done so far, for the model."""
    calls = [ToolCall(c["id"], c["name"], json.dumps(c["arguments"])).message() for c in called]
    results = [
        {
            "role": "tool",
            "tool_call_id": call["id"],
            "content": json.dumps(call.get("output", {"error": call.get("error")})),
        }
        for call in called
    ]
    asked = [message("system", SYSTEM), *input.before, message("user", input.question)]
    return [*asked, {"role": "assistant", "content": None, "tool_calls": calls}, *results]


def message(role: str, content: str) -> JsonObject:
    return {"role": role, "content": content}


def call_of(name: str, **arguments: str) -> Called:
    return {"id": call_id(name, arguments), "name": name, "arguments": arguments}


def sources(found: list[Called]) -> list[JsonObject]:
    """Each section that was found, once, under the number by which the answer cites it."""
    hits = {hit["id"]: hit for call in found for hit in call["output"]}
    return [
        {"number": number, "id": hit["id"], "title": hit["title"]}
        for number, hit in enumerate(hits.values(), start=1)
    ]


# What the simulated model says: it cannot read, so rules stand in for its judgement.


def simulated_plan(input: AgentInput) -> list[Called]:
    """A search, and a tool for each expression, date or column that the question has."""
    calls = [call_of("search", query=input.question)]
    calls += [call_of("calculate", expression=each) for each in sums_in(input.question)[:1]]
    dated = re.search(
        r"(today|\d{4}-\d{2}-\d{2})(\s*[+-]\s*\d+ days?|.*\d{4}-\d{2}-\d{2})?", input.question
    )
    calls += [call_of("date", expression=dated[0])] if dated else []
    wanted = re.search(r"(sum|mean|min|max|\d{4}-\d{2}) of (\w+)", input.question)
    if input.table and wanted:
        calls.append(call_of("look_up", column=wanted[2], period=wanted[1]))
    return calls


def sums_in(text: str) -> list[str]:
    """What can be calculated in a text; dates are not meant."""
    without_dates = re.sub(r"\d{4}-\d{2}(-\d{2})?", "", text)
    found = re.findall(r"[\d(][\d\s.+*/^×÷()-]*[\d)]", without_dates)
    return [each for each in found if re.search(r"[+*/^×÷-]", each) and is_sum(each)]


def is_sum(text: str) -> bool:
    try:
        calculate(text)
    except ValueError:
        return False
    return True


def simulated_answer(called: list[Called]) -> str:
    """What was found and worked out, in sentences."""
    lines = []
    found = [call for call in called if call["name"] == "search"]
    hits = {hit["id"]: hit for call in found for hit in call.get("output", [])}
    for number, hit in enumerate(hits.values(), start=1):
        first = re.split(r"(?<=[.!?])\s", hit["text"].replace("\n", " "), maxsplit=1)[0]
        lines.append(f"{hit['title']}: {first} [{number}]")
    for call in called:
        if call["name"] != "search" and "output" in call:
            asked = ", ".join(str(value) for value in call["arguments"].values())
            lines.append(f"{call['name']}({asked}) = {call['output']}")
    return "\n".join(lines) or "The documents say nothing about this, and no tool could help."
