"""What `Storage.secret` promises, for every storage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from streaming.storage.base import SECRET_BYTES, Storage
from streaming.storage.redis import RedisStorage
from tests.storage.conftest import make_sqlite
from tests.threads import together


def test_a_secret_is_long_and_stays(storage: Storage) -> None:
    secret = storage.secret()

    assert len(secret) >= SECRET_BYTES
    assert storage.secret() == secret


def test_all_who_ask_first_get_the_same(storage: Storage) -> None:
    assert len(set(together([storage.secret] * 8))) == 1


def test_it_outlasts_a_restart_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    secrets = []
    for _ in range(2):
        storage = make_sqlite(tmp_path)
        storage.open(timeout=1)
        secrets.append(storage.secret())
        storage.close()

    assert secrets[0] == secrets[1]
    assert (tmp_path / "streaming.db.secret").stat().st_mode & 0o077 == 0


def test_all_processes_on_one_redis_have_it(make_redis: Callable[..., RedisStorage]) -> None:
    storages = [make_redis() for _ in range(2)]
    for each in storages:
        each.open(timeout=1)

    assert storages[0].secret() == storages[1].secret()
    for each in storages:
        each.close()
