"""Settings of an app with the extension: only `STREAMING_…` names, read when its server starts.

`REDIS_URL`, `PORT` and the like belong to the app, which may use them for something else.
"""

from __future__ import annotations

import difflib
import logging
import os
from collections.abc import Iterable, Mapping
from typing import ClassVar

from flask import Flask
from pydantic import Field
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource

from streaming.config import Settings

logger = logging.getLogger(__name__)

PREFIX = "STREAMING_"
#: Names of ours that are not settings of a server: the role of a process, and the client's.
OTHERS = {"STREAMING_ROLE", "STREAMING_URL", "STREAMING_API_KEY"}


class _OurNames(EnvSettingsSource):
    """Those of the environment's names that are ours."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[object, str, bool]:
        if not str(field.validation_alias).startswith(PREFIX):
            return None, field_name, False
        return super().get_field_value(field, field_name)


class AppSettings(Settings):
    """What an app with the extension reads, from `app.config` and the environment."""

    redis_name: ClassVar[str] = "STREAMING_REDIS_URL"

    redis_url: str = Field(
        "",
        validation_alias="STREAMING_REDIS_URL",
        description="Redis for log, queue and shared state, with any number of processes",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - ours is narrower
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, _OurNames(settings_cls)


def settings_of(app: Flask) -> Settings:
    """The settings of an app with the extension, as its config and the environment are now.

    By default the log is a file in the app's instance folder; in memory with TESTING, so that
    each app of a test has its own. `InvalidSettings` for a bad value.
    """
    given = {name: value for name, value in app.config.items() if name.startswith(PREFIX)}
    if not _said(given, "STREAMING_VAR_DIR"):
        given["STREAMING_VAR_DIR"] = app.instance_path
    if app.testing and not _said(given, "STREAMING_LOG_URL"):
        given["STREAMING_LOG_URL"] = "memory://"
    return AppSettings.load(given)


def warn_of_names(config: Mapping[str, object], settings: Settings) -> None:
    """Warn of misspelt names, and of a `REDIS_URL` that is taken for the app's own."""
    known = _known()
    for name in sorted(misspelt({*config, *os.environ}, known)):
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
        hint = f"; do you mean {near[0]}?" if near else ""
        logger.warning("there is no setting %s: it is ignored%s", name, hint)
    theirs = config.get("REDIS_URL") or os.environ.get("REDIS_URL")
    if isinstance(settings, AppSettings) and theirs and not settings.shared:
        logger.warning(
            "REDIS_URL is taken to be the app's own: jobs are not kept there. "
            "To have them in Redis, set STREAMING_REDIS_URL"
        )


def misspelt(names: Iterable[str], known: Iterable[str]) -> set[str]:
    """Names that look like settings of ours and are not."""
    return {name for name in names if name.startswith(PREFIX)} - set(known)


def _known() -> set[str]:
    fields = {*Settings.model_fields.values(), *AppSettings.model_fields.values()}
    return {str(each.validation_alias) for each in fields} | OTHERS


def _said(given: Mapping[str, object], name: str) -> bool:
    return given.get(name) is not None or bool(os.environ.get(name))
