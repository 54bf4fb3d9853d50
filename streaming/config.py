"""Settings: from the environment or `app.config`, frozen, checked at start."""

from __future__ import annotations

import base64
import ipaddress
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import urlsplit, urlunsplit

import limits
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from streaming.errors import InvalidSettings

CommaList = Annotated[tuple[str, ...], NoDecode]

#: The protocols of others that can be mounted.
PROTOCOLS = ("chat", "responses", "messages", "ui", "agui", "mcp", "a2a", "durable")
#: Threads that gthread keeps for requests that are not streams.
THREAD_RESERVE = 16
#: Minimum characters of a secret.
SECRET_LENGTH = 32


def _setting(default: object, name: str, description: str, **limits: Any) -> Any:
    return Field(default, validation_alias=name, description=description, **limits)


class Settings(BaseSettings):
    """All settings. `Settings.load(app.config)` reads them; `InvalidSettings` for a bad value."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_ignore_empty=True, allow_inf_nan=False
    )

    #: What names the Redis, in messages.
    redis_name: ClassVar[str] = "REDIS_URL"

    port: int = _setting(8000, "PORT", "port that gunicorn listens on", ge=0, le=65535)
    host: str = _setting(
        "", "HOST", "address that gunicorn listens on (127.0.0.1; 0.0.0.0 when PORT is given)"
    )
    web_concurrency: int = _setting(
        1, "WEB_CONCURRENCY", "web processes; more than one needs a shared log", ge=1, le=256
    )
    worker_class: Literal["gevent", "gthread"] = _setting(
        "gevent", "GUNICORN_WORKER_CLASS", "gunicorn's worker class: gevent or gthread"
    )
    threads: int = _setting(
        128, "GUNICORN_THREADS", "threads of a gthread worker; each open stream holds one", ge=24
    )
    var_dir: Path = _setting(
        Path("var"), "STREAMING_VAR_DIR", "folder of the SQLite file, uploads and artifacts"
    )
    log_format: Literal["text", "json"] = _setting(
        "text", "STREAMING_LOG_FORMAT", "log lines as text, or as JSON with ids"
    )
    log_requests: bool = _setting(
        False, "STREAMING_LOG_REQUESTS", "log each request and the end of each stream"
    )
    redis_url: str = _setting(
        "", "REDIS_URL", "Redis for log, queue and shared state, with any number of processes"
    )
    log_url: str = _setting(
        "", "STREAMING_LOG_URL", "where the log is: sqlite:///file, redis://… or memory://"
    )
    queue_url: str = _setting(
        "", "STREAMING_QUEUE_URL", "Redis of the job queue; the log's, next database number"
    )
    redis_verify: bool = _setting(
        True, "STREAMING_REDIS_VERIFY", "0: take the certificate of rediss:// unchecked"
    )
    blob_dir: Path | None = _setting(
        None, "STREAMING_BLOB_DIR", "with Redis: folder for files that all machines share"
    )
    blob_bytes: int = _setting(
        64 << 20, "STREAMING_BLOB_BYTES", "bytes of a file that is kept in Redis", ge=1 << 16
    )
    api_keys: CommaList = _setting(
        (), "STREAMING_API_KEYS", "bearer keys, comma-separated; none: loopback only"
    )
    api_keys_file: Path | None = _setting(
        None, "STREAMING_API_KEYS_FILE", "file of keys that `streaming.cli keys` makes and revokes"
    )
    api_keys_hashed: CommaList = _setting(
        (), "STREAMING_API_KEYS_HASHED", "lines of such a file, comma-separated"
    )
    secret: SecretStr = _setting(
        SecretStr(""), "STREAMING_SECRET", "what signs tickets; made and kept with the log"
    )
    webhook_hosts: CommaList = _setting(
        (), "STREAMING_WEBHOOK_HOSTS", "hosts that webhooks may go to, comma-separated; none: none"
    )
    webhook_secret: SecretStr = _setting(
        SecretStr(""), "STREAMING_WEBHOOK_SECRET", "what signs webhooks; made and kept with the log"
    )
    allow_anonymous: bool = _setting(
        False, "STREAMING_ALLOW_ANONYMOUS", "serve other machines without keys"
    )
    allowed_origins: CommaList = _setting(
        (), "STREAMING_ALLOWED_ORIGINS", "origins for CORS and WebSocket besides the server's own"
    )
    max_streams: int | None = _setting(
        None, "STREAMING_MAX_STREAMS", "open streams per process (10000; gthread: fewer)", ge=1
    )
    owner_streams: int | None = _setting(
        None, "STREAMING_OWNER_STREAMS", "open streams of one owner, per process", ge=1
    )
    owner_jobs: int | None = _setting(
        None, "STREAMING_OWNER_JOBS", "unfinished jobs of one owner, in all", ge=1
    )
    rate_submits: str = _setting(
        "", "STREAMING_RATE_SUBMITS", "new jobs, answers and uploads of one owner: 20/second"
    )
    rate_requests: str = _setting(
        "", "STREAMING_RATE_REQUESTS", "all other requests of one owner, opened streams too"
    )
    messages_per_s: int = _setting(
        200, "STREAMING_MESSAGES_PER_S", "messages that one WebSocket may send in a second", ge=1
    )
    body_s: float = _setting(
        30.0, "STREAMING_BODY_S", "seconds that a body may take to come", gt=0, le=3600
    )
    jobs: int = _setting(64, "STREAMING_JOBS", "jobs at once in threads, per process", ge=1)
    jobs_cooperative: int = _setting(
        2000, "STREAMING_JOBS_COOPERATIVE", "jobs at once as greenlets, per process", ge=1
    )
    queue: int = _setting(1000, "STREAMING_QUEUE", "jobs waiting, in all", ge=0)
    worker_timeout_s: float = _setting(
        10.0,
        "STREAMING_WORKER_TIMEOUT_S",
        "seconds of silence after which a worker's jobs go to another",
        ge=3,
        le=600,
    )
    app: str = _setting("wsgi:app", "STREAMING_APP", "the Flask app whose tasks a worker runs")
    direct_writes: bool = _setting(
        True,
        "STREAMING_DIRECT_WRITES",
        "one writer for all sockets (gevent); 0 where middleware changes bodies",
    )
    events_per_write: int = _setting(
        500, "STREAMING_EVENTS_PER_WRITE", "events in one write to a reader, at most", ge=1
    )
    heartbeat_s: float = _setting(
        15.0, "STREAMING_HEARTBEAT_S", "seconds of quiet before a heartbeat", gt=0, le=3600
    )
    rotate_s: float = _setting(
        600.0, "STREAMING_ROTATE_S", "seconds that a stream lives at the longest, ± 10 %", gt=0
    )
    drain_s: float = _setting(
        10.0, "STREAMING_DRAIN_S", "seconds to leave at shutdown", gt=0, le=300
    )
    retention_s: float = _setting(
        86400.0, "STREAMING_RETENTION_S", "seconds that a job is kept after its end", gt=0
    )
    retention_events: int = _setting(
        100_000, "STREAMING_RETENTION_EVENTS", "events kept per job", ge=10
    )
    retention_bytes: int = _setting(
        1 << 30, "STREAMING_RETENTION_BYTES", "bytes kept of all jobs", ge=1 << 16
    )
    max_body_bytes: int = _setting(
        1 << 20, "STREAMING_MAX_BODY_BYTES", "bytes of a request body or message", ge=1024
    )
    max_upload_bytes: int = _setting(
        256 << 20, "STREAMING_MAX_UPLOAD_BYTES", "bytes of an upload", ge=1024
    )
    max_event_bytes: int = _setting(
        1 << 20, "STREAMING_MAX_EVENT_BYTES", "bytes of an event", ge=4096
    )
    max_job_events: int = _setting(
        1_000_000, "STREAMING_MAX_JOB_EVENTS", "events that a job may write", ge=10
    )
    max_job_bytes: int = _setting(
        256 << 20, "STREAMING_MAX_JOB_BYTES", "bytes that a job may write, in files too", ge=1 << 16
    )
    open_submit: bool | None = _setting(
        None,
        "STREAMING_OPEN_SUBMIT",
        "whether clients may start any task (1 for the service), or only the app's views (0)",
    )
    protocols: Annotated[tuple[str, ...] | None, NoDecode] = _setting(
        None,
        "STREAMING_PROTOCOLS",
        "protocols of others to mount: chat,messages (all for the service, none for an app)",
    )
    tasks: CommaList = _setting((), "STREAMING_TASKS", "modules with more tasks, comma-separated")
    task_processes: int | None = _setting(
        None,
        "STREAMING_TASK_PROCESSES",
        "task hosts of a process (1 under gunicorn, else 0); 0: tasks are its threads",
        ge=0,
        le=64,
    )
    resources: Annotated[dict[str, int], NoDecode] = _setting(
        {}, "STREAMING_RESOURCES", "pools of scarce things that tasks lease: gpu=2,license=1"
    )
    llm_base_url: str = _setting(
        "", "STREAMING_LLM_BASE_URL", "an OpenAI-compatible server; none: the simulated model"
    )
    llm_api_key: SecretStr = _setting(SecretStr(""), "STREAMING_LLM_API_KEY", "its key, if any")
    llm_models: CommaList = _setting(
        (), "STREAMING_LLM_MODEL", "its models, comma-separated, the wanted one first"
    )
    llm_connect_s: float = _setting(
        10.0, "STREAMING_LLM_CONNECT_S", "seconds to reach it", gt=0, le=300
    )
    llm_first_token_s: float = _setting(
        60.0, "STREAMING_LLM_FIRST_TOKEN_S", "seconds until its answer begins", gt=0, le=3600
    )
    llm_token_s: float = _setting(
        30.0, "STREAMING_LLM_TOKEN_S", "seconds between two pieces of its answer", gt=0, le=3600
    )
    llm_max_tokens: int = _setting(
        4096, "STREAMING_LLM_MAX_TOKENS", "tokens of an answer where a task names no limit", ge=1
    )
    llm_step_tokens: int = _setting(
        2048, "STREAMING_LLM_STEP_TOKENS", "tokens of one step of an agent, likewise", ge=1
    )
    llm_think_tags: bool = _setting(
        True, "STREAMING_LLM_THINK_TAGS", "move what stands in <think> out of answers"
    )
    llm_thinks_first: CommaList = _setting(
        (), "STREAMING_LLM_THINKS_FIRST", "models whose answers begin in thinking that no tag opens"
    )
    llm_omit: Annotated[dict[str, frozenset[str]], NoDecode] = _setting(
        {}, "STREAMING_LLM_OMIT", "parameters never sent, per model: o3:max_tokens+seed"
    )

    @classmethod
    def load(cls, config: Mapping[str, Any] | None = None) -> Settings:
        """Read the environment and, over it, the same names in `config` (a Flask app's)."""
        names = [str(f.validation_alias) for f in cls.model_fields.values()]
        given = {
            name: (config or {})[name] for name in names if (config or {}).get(name) is not None
        }
        try:
            return cls(**given)
        except ValidationError as error:
            raise InvalidSettings(_explain(error)) from None

    @field_validator(
        "api_keys",
        "allowed_origins",
        "tasks",
        "llm_models",
        "llm_thinks_first",
        "api_keys_hashed",
        "webhook_hosts",
        mode="before",
    )
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("protocols", mode="before")
    @classmethod
    def _known_protocols(cls, value: object) -> tuple[str, ...] | None:
        return None if value is None else protocol_names(value)

    @field_validator("resources", mode="before")
    @classmethod
    def _pools(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pools = [part.partition("=") for part in value.split(",") if part.strip()]
        if any(not re.fullmatch(r"[1-9][0-9]{0,5}", units.strip()) for _, _, units in pools):
            raise ValueError(f"{value!r}: pools with their sizes, gpu=2,license=1")
        return {name.strip(): int(units) for name, _, units in pools}

    @field_validator("resources")
    @classmethod
    def _named(cls, pools: dict[str, int]) -> dict[str, int]:
        for name, units in pools.items():
            if not re.fullmatch(r"[a-z][a-z0-9_.-]{0,63}", name) or units < 1:
                raise ValueError(f"{name}={units}: a name in small letters, and 1 or more")
        return pools

    @field_validator("api_keys")
    @classmethod
    def _strong(cls, keys: tuple[str, ...]) -> tuple[str, ...]:
        if any(not key.isascii() or not key.isprintable() or " " in key for key in keys):
            raise ValueError("keys are printable ASCII without spaces")
        return keys

    @field_validator("allowed_origins")
    @classmethod
    def _as_browsers_send_them(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if not re.fullmatch(r"[a-z][a-z0-9+.-]*://[a-z0-9._:\[\]-]+", origin):
                raise ValueError(
                    f"{origin!r}: https://host or https://host:port, in small letters, no path"
                )
        return origins

    @field_validator("secret")
    @classmethod
    def _long(cls, secret: SecretStr) -> SecretStr:
        if 0 < len(secret.get_secret_value()) < SECRET_LENGTH:
            raise ValueError(f"{SECRET_LENGTH} characters or more: openssl rand -base64 32")
        return secret

    @field_validator("webhook_hosts")
    @classmethod
    def _hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if not is_host(host.lower()):
                raise ValueError(
                    f"{host!r}: a host or an address, with :port if wanted; *.example.com for the "
                    "hosts below it, * for all"
                )
        return tuple(host.lower() for host in hosts)

    @field_validator("webhook_secret")
    @classmethod
    def _signing(cls, secret: SecretStr) -> SecretStr:
        signing_keys(secret.get_secret_value())
        return secret

    @field_validator("rate_submits", "rate_requests")
    @classmethod
    def _is_rate(cls, rate: str) -> str:
        try:
            limits.parse_many(rate or "1/second")
        except ValueError:
            raise ValueError("such as 20/second, or 20/second;600/minute") from None
        return rate

    @field_validator("log_url")
    @classmethod
    def _known_log(cls, url: str) -> str:
        file = url.startswith("sqlite:///") and len(url) > 10
        if url and url != "memory://" and not file and not _is_redis(url):
            raise ValueError(
                "memory://, sqlite:///relative/path, sqlite:////absolute/path or redis://host"
            )
        return url

    @field_validator("redis_url", "queue_url")
    @classmethod
    def _redis(cls, url: str) -> str:
        if url and not _is_redis(url):
            raise ValueError("redis://[:password@]host[:port][/database], or rediss:// for TLS")
        return url

    @field_validator("app")
    @classmethod
    def _module_and_name(cls, app: str) -> str:
        if not re.fullmatch(r"[\w.]+(:[\w.]+(\(.*\))?)?", app):
            raise ValueError("module:app or module:factory(), as gunicorn takes it")
        return app

    @field_validator("llm_omit", mode="before")
    @classmethod
    def _omitted(cls, value: object) -> object:
        """`o3:max_tokens+seed,*:stream_options` by model; the name of one may have colons."""
        if not isinstance(value, str):
            return value
        found: dict[str, frozenset[str]] = {}
        for part in filter(None, (part.strip() for part in value.split(","))):
            model, _, names = part.rpartition(":")
            listed = frozenset(name.strip() for name in names.split("+"))
            if not model.strip() or not all(re.fullmatch(r"[a-z_]+", name) for name in listed):
                raise ValueError("a model and parameters, o3:max_tokens+seed; * for every model")
            found[model.strip()] = found.get(model.strip(), frozenset()) | listed
        return found

    @field_validator("llm_api_key", mode="before")
    @classmethod
    def _one_line(cls, value: object) -> object:
        """Files and secret stores often leave a line break behind a key."""
        key = value.get_secret_value() if isinstance(value, SecretStr) else value
        if not isinstance(key, str):
            return value
        key = key.strip().strip("\"'").removeprefix("Bearer ").strip()
        if not key.isascii() or not key.isprintable():
            raise ValueError("a key is one line of printable ASCII")
        return key

    @field_validator("llm_base_url", mode="before")
    @classmethod
    def _trimmed(cls, value: object) -> object:
        return value.strip() if isinstance(value, str) else value

    @field_validator("llm_base_url")
    @classmethod
    def _is_http(cls, url: str) -> str:
        if url and not re.fullmatch(r"https?://[^\s/@]+(/\S*)?", url):
            raise ValueError("http://host/v1 or https://host/v1; the key has a setting of its own")
        return url

    @model_validator(mode="after")
    def _complete_model(self) -> Self:
        if self.llm_base_url and not self.llm_models:
            raise ValueError("STREAMING_LLM_MODEL must name a model of STREAMING_LLM_BASE_URL")
        if not self.llm_base_url and (self.llm_models or self.llm_api_key.get_secret_value()):
            raise ValueError("STREAMING_LLM_MODEL and _API_KEY need STREAMING_LLM_BASE_URL")
        if unknown := set(self.llm_thinks_first) - {"*", *self.llm_models}:
            names = ", ".join(sorted(unknown))
            raise ValueError(f"STREAMING_LLM_THINKS_FIRST: {names} is not in STREAMING_LLM_MODEL")
        return self

    @model_validator(mode="after")
    def _derive(self) -> Self:
        log_url = self.log_url or self.redis_url or f"sqlite:///{self.var_dir / 'streaming.db'}"
        derived: dict[str, str | int] = {}
        if not self.host:
            given = "port" in self.model_fields_set
            derived["host"] = "0.0.0.0" if given else "127.0.0.1"
        if not self.log_url:
            derived["log_url"] = log_url
        if not self.queue_url:
            derived["queue_url"] = _next_database(log_url)
        if self.max_streams is None:
            threads = self.threads - THREAD_RESERVE
            derived["max_streams"] = 10_000 if self.worker_class == "gevent" else threads
        for name, value in derived.items():
            object.__setattr__(self, name, value)
        return self

    def check_exposure(self) -> None:
        """Refuse to serve other machines without keys, unless that is said to be meant."""
        if self.keyed or self.allow_anonymous or is_loopback(self.host):
            return
        why = " because PORT is given" if "host" not in self.model_fields_set else ""
        raise InvalidSettings(
            f"HOST is {self.host}{why}: other machines reach it, and there are no API keys. Set "
            "STREAMING_API_KEYS to one or more keys, or HOST=127.0.0.1, or, to let anyone in, "
            "STREAMING_ALLOW_ANONYMOUS=1."
        )

    @property
    def keyed(self) -> bool:
        """Whether every request needs an API key (or a ticket made with one)."""
        return bool(self.api_keys or self.api_keys_file or self.api_keys_hashed)

    @property
    def shared(self) -> bool:
        """Whether any number of processes may serve, and workers run the jobs."""
        return _is_redis(self.log_url)

    @property
    def web_processes(self) -> int:
        """Web processes of this server: one where the log has one writing process (oddity 2)."""
        return self.web_concurrency if self.shared else 1

    @property
    def sqlite_path(self) -> Path | None:
        """The SQLite file, or None with another log."""
        if not self.log_url.startswith("sqlite:///"):
            return None
        return Path(self.log_url.removeprefix("sqlite:///"))


def protocol_names(given: object) -> tuple[str, ...]:
    """Protocols in a list or in text with commas, each once; `ValueError` for what is none."""
    parts = given.split(",") if isinstance(given, str) else given
    if not isinstance(parts, (list, tuple, set, frozenset)):
        raise ValueError(f"{given!r:.80}: a list, some of {', '.join(PROTOCOLS)}")
    names = [part.strip() if isinstance(part, str) else part for part in parts]
    if unknown := [name for name in names if name and name not in PROTOCOLS]:
        raise ValueError(f"{unknown[0]!r:.80}: some of {', '.join(PROTOCOLS)}")
    return tuple(dict.fromkeys(filter(None, names)))


def _is_redis(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("redis", "rediss") and bool(parts.hostname)


def _next_database(url: str) -> str:
    """The database number after a Redis URL's; "" for other URLs."""
    if not _is_redis(url):
        return ""
    parts = urlsplit(url)
    number = parts.path.strip("/") or "0"
    following = str(int(number) + 1) if number.isdigit() else "1"
    return urlunsplit(parts._replace(path=f"/{following}"))


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def is_host(text: str) -> bool:
    """Whether it names hosts: `host`, `host:port`, `1.2.3.4`, `[::1]`, `*.example.com` or `*`."""
    host, _, port = text.rpartition(":") if re.search(r"[^:]:\d+$", text) else (text, "", "0")
    if "]" not in text and text.count(":") > 1:
        host, port = text, "0"  # an IPv6 address without brackets
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        name = r"(\*\.)?([a-z0-9_]([a-z0-9_-]*[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?"
        if host != "*" and not re.fullmatch(name, host):
            return False
    return int(port) < 1 << 16


def signing_keys(text: str) -> list[bytes]:
    """The keys of `whsec_…` secrets, comma-separated: all of them sign. `ValueError` for others."""
    keys = []
    for secret in filter(None, (part.strip() for part in text.split(","))):
        try:
            key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except ValueError:
            key = b""
        if not secret.startswith("whsec_") or not 24 <= len(key) <= 64:
            raise ValueError("whsec_ and 24 to 64 bytes in Base64: openssl rand -base64 32")
        keys.append(key)
    return keys


def _explain(error: ValidationError) -> str:
    """Each bad setting with its name, its value (secrets left out) and what is allowed."""
    lines = []
    for item in error.errors(include_url=False):
        name = str(item["loc"][0]) if item["loc"] else "settings"
        # Without a name it is about several settings together, keys among them.
        secret = not item["loc"] or _may_hold_secret(name, str(item["input"]))
        value = "" if secret else f"={item['input']!r}"
        lines.append(f"{name}{value}: {item['msg']}")
    return "; ".join(lines)


def _may_hold_secret(name: str, value: str) -> bool:
    """Keys do; a URL may have a password before its host, or in its query."""
    return "KEY" in name or "SECRET" in name or ("URL" in name and bool({"@", "?"} & set(value)))


def durable_disk() -> bool:
    """Whether the disk outlasts a restart; platforms that set DYNO throw it away."""
    return "DYNO" not in os.environ
