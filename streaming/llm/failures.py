"""What the errors of model servers mean here, whatever form they have. No I/O."""

from __future__ import annotations

import email.utils
import html
import math
import re
import time
from collections.abc import Mapping

from streaming.errors import TaskError
from streaming.events.halves import whole
from streaming.events.vocabulary import Json, JsonMapping
from streaming.llm.base import Outage
from streaming.llm.shapes import parsed, shown

#: Characters that are kept of what a server says about its error.
SAID = 500
#: Seconds that a server may ask to wait: more is a mistake, or a joke.
MAX_WAIT_S = 7 * 86400.0
#: Codes that say something about the question, and nothing about the server.
_OF_QUESTION = ("context_too_long", "content_filtered", "rate_limited")

#: What servers of different makers say when a prompt does not fit.
_TOO_LONG = re.compile(
    r"context.{0,12}(length|size|window|limit)|too many (input |prompt )?tokens"
    r"|(prompt|input|request|messages?)\b.{0,24}too (long|large)|reduce the length"
    r"|exceeds? the (model'?s )?max\w*.{0,20}tokens|string_above_max_length"
    r"|maximum.{0,30}\btokens\b.{0,60}(prompt|input|requested)|longer than the max"
    r"|(inputs?|prompt)\b.{0,40}(less|fewer|no more) than \d+ tokens|range of input length",
    re.IGNORECASE | re.DOTALL,
)
_FILTERED = re.compile(
    r"content.?(filter|policy|management)|responsible.?ai|moderation|safety|flagged|usage policies"
    r"|prohibited_content|guardrail|data.?inspection|inappropriate|(?<!case.)sensitive",
    re.IGNORECASE,
)
_RATE = re.compile(r"rate.?limit|too many requests|quota|throttl|resource_exhausted", re.IGNORECASE)
_BUSY = re.compile(r"overload|capacity|unavailable|busy|try again|no healthy", re.IGNORECASE)
_LOADING = re.compile(r"loading|load(s|ed)? (the )?model|warming|starting|not ready|initiali", re.I)
#: No later try will be better: there is no money.
_UNPAID = re.compile(r"insufficient|billing|credit|payment|balance", re.IGNORECASE)
#: The key is none that the server knows, whatever status it has for that.
_LOCKED = re.compile(
    r"api.?key.{0,20}(not valid|invalid|incorrect|expired|missing|required)|unauthori[sz]ed"
    r"|(invalid|incorrect|missing|no).{0,4} api.?key|(un|not )authenticated|authentication",
    re.IGNORECASE,
)
#: The question is at fault, although the status says that the server is.
_ASKED = re.compile(
    r"bad.?request|invalid.?(request|argument|parameter)|unsupported", re.IGNORECASE
)
#: What a server may quote of a key.
_KEYS = re.compile(
    r"\b(?:(?:sk|pk|key|gsk|hf|xai)[-_][\w.*…-]{6,}|Bearer [\w.*…-]{6,})", re.IGNORECASE
)
_TAGS = re.compile(r"<(script|style|head)\b.*?</\1>|<[^>]*>", re.IGNORECASE | re.DOTALL)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)


def failure(
    status: int | None, body: Json, retry_after_s: float | None = None, *, where: str = ""
) -> TaskError:
    """What a server's error means. `status` is None for an error within a stream."""
    said, code, inner = told(body)
    shown_status = status if status is not None else inner
    kind, retryable, meaning = _kind(shown_status, f"{code} {said}")
    if status is None:
        place = where or "in the middle of its answer"
    else:
        place = f"with status {status}"
    quoted = f": {said}" if said else ""
    extra: dict[str, float] = {} if retry_after_s is None else {"retry_after_s": retry_after_s}
    if status is not None:
        extra["upstream_status"] = status
    detail = f"{meaning} (the model's server failed {place}{quoted})"
    ill = status is not None and (status == 408 or (status >= 500 and status != 501))
    is_outage = ill and (retryable or kind not in (*_OF_QUESTION, "upstream_error"))
    made = Outage if is_outage else TaskError
    return made(detail, code=kind, retryable=retryable, **extra)


def is_loading(error: TaskError) -> bool:
    """Whether the server says that its model will be there soon."""
    status = error.extra.get("upstream_status")
    return status in (425, 503) and bool(_LOADING.search(error.detail.partition("(")[2]))


_NO_MODEL = (
    "there is no such model (STREAMING_LLM_MODEL), or nothing at this address "
    "(STREAMING_LLM_BASE_URL)"
)
#: By status: what no later try mends.
_NEVER: Mapping[int | None, str] = {
    **dict.fromkeys((401, 403), "the model's server refuses the key (…_LLM_API_KEY)"),
    402: "the account at the model's server is used up",
    **dict.fromkeys((404, 405, 410), _NO_MODEL),
}


def _kind(status: int | None, said: str) -> tuple[str, bool, str]:
    """Code, whether to try again, and what it means."""
    about_it = status in (None, 400, 403, 413, 422, 500)
    if about_it and _TOO_LONG.search(said):
        return "context_too_long", False, "the prompt is too long for the model"
    if about_it and _FILTERED.search(said):
        return "content_filtered", False, "the model's server refuses this content"
    if status == 429 or (status in (None, 400) and _RATE.search(said)):
        passing = not _UNPAID.search(said)
        return "rate_limited", passing, "the model takes no more questions at present"
    if status in _NEVER or (status in (None, 400) and _LOCKED.search(said)):
        return "model_unavailable", False, _NEVER[status if status in _NEVER else 401]
    if status in (502, 503, 504, 529) or (status is None and _BUSY.search(said)):
        return "model_unavailable", True, "the model is not there"
    if status is not None and 300 <= status < 400:
        return "model_unavailable", False, "STREAMING_LLM_BASE_URL leads elsewhere"
    if status == 413:
        return "context_too_long", False, "the question is too large for the model's server"
    passing = status is None or status in (408, 409, 425) or (status >= 500 and status != 501)
    if passing and _ASKED.search(said):
        return "upstream_error", False, "the model's server refuses the question"
    return "upstream_error", passing, "the model failed"


def told(body: Json) -> tuple[str, str, int | None]:
    """Message, code and status of an error body, of whatever form."""
    error: object = body
    for _ in range(3):  # makers put their errors into errors
        if isinstance(error, list) and error:
            error = error[0]
        if not isinstance(error, dict):
            break
        inner = _first(error, "error", "errors", "fault")
        if inner is None or (isinstance(inner, str) and _first(error, "message", "detail", "msg")):
            break
        error = inner
    if not isinstance(error, dict):
        return _clean(error), "", None
    message = _first(error, "message", "detail", "msg", "reason", "title", "error_description")
    codes = [error.get(name) for name in ("code", "type", "status", "error")]
    if isinstance(error.get("innererror"), dict):
        codes.append(error["innererror"].get("code"))
    numbers = (int(str(code)) for code in codes if re.fullmatch("[45][0-9][0-9]", str(code)))
    number = next(numbers, None)
    said = _clean(message if message is not None else error)
    behind = _behind(error.get("metadata"))
    said = f"{said}: {behind}"[:SAID] if behind else said
    return said, " ".join(str(c) for c in codes if isinstance(c, str)), number


def _behind(metadata: object) -> str:
    """What a provider said to the server that was asked, as OpenRouter passes it on."""
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    if isinstance(raw, str):
        try:
            raw = parsed(raw.encode("utf-8", "surrogatepass"))
        except ValueError:
            return _clean(raw)
    return told(raw)[0] if raw else ""


def parameter(body: Json) -> str:
    """The parameter that an error names in a member of its own, if it does."""
    error = body.get("error", body) if isinstance(body, dict) else None
    param = error.get("param") if isinstance(error, dict) else None
    return param if isinstance(param, str) else ""


def _first(error: JsonMapping, *names: str) -> object:
    return next((error[name] for name in names if error.get(name)), None)


def _clean(said: object) -> str:
    """A message as one line of text: no markup, no keys, no halves of characters."""
    if said is None or said == {} or said == "":
        return ""
    text = whole(said) if isinstance(said, str) else shown(said)
    if re.match(r"\s*<(!doctype|html|head|body|\?xml|h\d)", text, re.IGNORECASE):
        title = _TITLE.search(text)
        rest = _TAGS.sub(" ", text)
        text = "a web page, " + html.unescape(title[1] if title else rest)
    return _KEYS.sub("…", " ".join(text.split()))[:SAID]


def retry_after_s(headers: Mapping[str, str], *, now: float | None = None) -> float | None:
    """Seconds that a server asks to wait: `retry-after-ms`, `Retry-After` in seconds or a date."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            asked = float(headers[name]) * unit
            return None if math.isnan(asked) else min(max(0.0, asked), MAX_WAIT_S)
        except (KeyError, ValueError):
            continue
    try:
        until = email.utils.parsedate_to_datetime(headers.get("retry-after", ""))
    except (TypeError, ValueError):
        return None
    wait_s = until.timestamp() - (time.time() if now is None else now)
    return min(max(0.0, wait_s), MAX_WAIT_S)
