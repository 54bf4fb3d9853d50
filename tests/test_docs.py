"""The tables of the README and of docs are whole: settings, event types, endpoints, links."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from pydantic import SecretStr

from app import create_app
from streaming.config import Settings
from streaming.errors import RequestError, Unavailable
from streaming.events.vocabulary import CONTROL, TYPES
from streaming.running.context import JobContext
from streaming.watching import websocket as sockets
from streaming.web import socket_session
from streaming.web.routes import websocket
from streaming.web.schemas import Snapshot
from tests.readme import DOCUMENTS, FLASK, PAGES, README, REFERENCE, ROOT, blocks, rows, section

#: Settings whose default is worked out from others, or is a switch that is off.
SAID_IN_WORDS = {
    "STREAMING_DIRECT_WRITES": "1",
    "STREAMING_LLM_THINK_TAGS": "1",
    "HOST": "127.0.0.1",
    "STREAMING_LOG_URL": "in `STREAMING_VAR_DIR`",
    "STREAMING_ALLOW_ANONYMOUS": "0",
    "STREAMING_OPEN_SUBMIT": "1 for the service, 0 for an app with the extension",
    "STREAMING_PROTOCOLS": "all for the service, none for an app with the extension",
    "STREAMING_TASK_PROCESSES": "1 under gunicorn, else 0",
    "STREAMING_LOG_REQUESTS": "0",
    "STREAMING_REDIS_VERIFY": "1",
    "REDIS_URL": "none",
    "STREAMING_QUEUE_URL": "none",
    "STREAMING_MAX_STREAMS": "10000",
}


def test_the_table_of_settings_has_each_with_its_default() -> None:
    shown = {row[0].strip("`"): row[1] for row in rows(REFERENCE, "Settings")}

    expected = {}
    for field in Settings.model_fields.values():
        name = str(field.validation_alias)
        expected[name] = SAID_IN_WORDS.get(name) or as_shown(field.default)
    assert shown == expected


def test_the_tables_of_events_have_each_type() -> None:
    shown = [row[0].strip("`") for row in rows(REFERENCE, "Events")]

    assert sorted(shown) == sorted(TYPES | CONTROL)


def test_the_table_of_endpoints_has_each_route() -> None:
    cells = " ".join(row[0] for row in rows(REFERENCE, "Endpoints"))
    shown = set(re.findall(r"`([A-Z]+) ([^`]+)`", cells))

    assert shown == routes()


def test_the_snapshot_has_each_of_its_members() -> None:
    shown = re.findall(r"`(\w+)`", section(REFERENCE, "The snapshot"))

    assert sorted(set(shown)) == sorted(Snapshot.model_fields)


def test_the_table_of_close_codes_has_each() -> None:
    shown = {int(row[0]) for row in rows(REFERENCE, "WebSocket") if row[0].isdigit()}

    ours = {
        socket_session.NORMAL,
        socket_session.GOING_AWAY,
        socket_session.NOT_ALLOWED,
        socket_session.OUR_FAULT,
        socket_session.RESTART,
    }
    assert shown == ours | {sockets.TOO_LARGE, websocket.TRY_LATER}


def test_the_table_of_status_codes_has_each_refusal() -> None:
    shown = re.findall(r"\d+", " ".join(row[0] for row in rows(REFERENCE, "Status codes")))

    refusals = [*RequestError.__subclasses__(), Unavailable]
    assert {int(status) for status in shown} == {error.status for error in refusals}


def test_what_a_context_offers_is_there() -> None:
    text = section(ROOT / "docs/writing-tasks.md", "What a context offers")
    shown = set(re.findall(r"`ctx\.(\w+)", text))

    assert len(shown) > 20
    assert {name for name in shown if not hasattr(JobContext, name)} == {"llm"}


def test_the_readme_leads_to_each_page() -> None:
    others = [page for page in [*ROOT.glob("*.md"), *PAGES] if page != README]

    shown = re.findall(r"\]\(([^)#]+)\)", README.read_text())
    assert {str(page.relative_to(ROOT)) for page in others} <= set(shown)


def test_the_documentation_leads_to_each_page() -> None:
    index = ROOT / "docs/index.md"
    shown = re.findall(r"^- \[.+?\]\(([^)]+)\)", index.read_text(), re.MULTILINE)

    assert {(index.parent / each).resolve() for each in shown} == set(DOCUMENTS) - {index}
    assert len(shown) == len(set(shown))


def test_the_readme_is_short_and_leads_with_ten_lines() -> None:
    first, *_ = blocks()
    code = [line for line in first.text.splitlines() if line and not line.startswith("#")]

    assert len(README.read_text().splitlines()) <= 130
    assert (first.language, len(code)) == ("python", 10)


def test_every_link_leads_somewhere() -> None:
    links = [
        (page, link)
        for page in DOCUMENTS
        for link in re.findall(r"\]\(([^)]+)\)", page.read_text())
        if not link.startswith("http")
    ]

    for page, link in links:
        path, _, heading = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), (page.name, link)
        assert not heading or heading in headings(target), (page.name, link)


def test_the_change_to_an_app_is_that_of_the_example() -> None:
    before, after = [
        (ROOT / "examples/existing_app" / name).read_text().splitlines()
        for name in ("before.py", "after.py")
    ]
    (shown,) = [block.text.splitlines() for block in blocks(FLASK) if block.language == "diff"]

    made = [line for line in difflib.unified_diff(before, after, n=0) if line[0] in "+-"]
    assert [line for line in shown if line[:1] in ("+", "-")] == made[2:]
    assert all(line[1:] in before for line in shown if line.startswith(" "))


def as_shown(default: object) -> str:
    if default in (None, (), {}, "", SecretStr("")):
        return "none"
    if isinstance(default, float):
        return f"{default:g}"
    return str(default)


def routes() -> set[tuple[str, str]]:
    """Verb and path of each route of the service, as the reference writes them."""
    return {
        (verb, re.sub(r"<(?:\w+:)?([^>]+)>", r"{\1}", rule.rule))
        for rule in create_app(Settings(STREAMING_LOG_URL="memory://")).url_map.iter_rules()
        for verb in (rule.methods or {"GET"}) - {"HEAD", "OPTIONS"}
        if not rule.endpoint.endswith("static")
    }


def headings(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
