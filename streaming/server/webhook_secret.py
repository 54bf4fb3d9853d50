"""Shows the secret that signs webhooks: `python -m streaming.server.webhook_secret`."""

from __future__ import annotations

import sys
from base64 import b64encode

from streaming.config import Settings
from streaming.errors import InvalidSettings
from streaming.jobs.signing import signing_key
from streaming.storage import make_storage


def secret_of(settings: Settings) -> str:
    """The secret for receivers, `whsec_…`: the setting's, or that of the settings' log.

    It is made if there is none yet. `InvalidSettings` where it could not last.
    """
    given = settings.webhook_secret.get_secret_value()
    if given:
        return given
    storage = make_storage(settings)
    if not storage.durable:
        raise InvalidSettings("nothing of memory:// lasts: set STREAMING_WEBHOOK_SECRET")
    if settings.sqlite_path is not None:  # beside the file, which a server may hold
        settings.sqlite_path.parent.mkdir(parents=True, exist_ok=True)
        return _shown(signing_key(storage))
    storage.open(timeout=0)
    try:
        return _shown(signing_key(storage))
    finally:
        storage.close()


def _shown(key: bytes) -> str:
    return f"whsec_{b64encode(key).decode()}"


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{secret_of(Settings.load())}\n")
    except InvalidSettings as error:
        sys.exit(f"error: {error.detail}")
