"""Calls over TLS: the certificate must be the host's, whatever address the call goes to."""

from __future__ import annotations

import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from streaming.config import signing_keys
from streaming.jobs import posting
from streaming.jobs.receivers import Receivers
from streaming.jobs.webhooks import Webhooks
from streaming.storage.memory import MemoryStorage
from tests.jobs import completed, new_job
from tests.threads import eventually
from tests.webhooks.receiver import SECRET, Receiver

HOST = "hooks.internal"


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed one of the host, with its key."""
    path = tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
         "-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}",
         "-keyout", path, "-out", tmp_path / "public.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    path.write_text(path.read_text() + (tmp_path / "public.pem").read_text())
    return path


@pytest.fixture
def receiver(certificate: Path) -> Iterator[Receiver]:
    with Receiver() as made:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        made.encrypt(context)
        yield made


@pytest.fixture
def trust(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    """Has the environment name authorities, as somebody who starts a server does."""

    def set_up(path: Path) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
        posting.trusted.cache_clear()

    yield set_up
    posting.trusted.cache_clear()


def called(memory: MemoryStorage, url: str, host: str) -> Webhooks:
    """One call of an ended job, made; its host is this machine."""
    job = new_job(memory, webhook={"url": url})
    memory.log.append(job, [completed()])
    receivers = Receivers([host], resolve=lambda *_: ["127.0.0.1"])
    webhooks = Webhooks(memory, receivers, lambda: signing_keys(SECRET))
    webhooks.look()
    eventually(lambda: (webhooks.look(), not webhooks.under_way)[1])
    return webhooks


def tries(memory: MemoryStorage) -> list[int]:
    return [call.tries for call in memory.outbox.due(time.time() + 1e6, limit=9)]


def test_a_certificate_that_the_environment_vouches_for_is_taken(
    memory: MemoryStorage, receiver: Receiver, certificate: Path, trust: Callable[[Path], None]
) -> None:
    trust(certificate.with_name("public.pem"))

    called(memory, f"https://{HOST}:{receiver.port}/x", HOST)

    assert tries(memory) == []
    assert receiver.taken[0].headers["host"] == f"{HOST}:{receiver.port}"


def test_a_certificate_that_nobody_vouches_for_is_not_taken(
    memory: MemoryStorage, receiver: Receiver
) -> None:
    called(memory, f"https://{HOST}:{receiver.port}/x", HOST)

    assert tries(memory) == [1]
    assert receiver.taken == []


def test_a_certificate_of_another_host_is_not_taken(
    memory: MemoryStorage, receiver: Receiver, certificate: Path, trust: Callable[[Path], None]
) -> None:
    trust(certificate.with_name("public.pem"))

    called(memory, f"https://other.internal:{receiver.port}/x", "other.internal")

    assert tries(memory) == [1]
    assert receiver.taken == []


def test_a_receiver_without_tls_gets_nothing_over_https(
    memory: MemoryStorage, trust: Callable[[Path], None]
) -> None:
    with Receiver() as plain:
        called(memory, f"https://{HOST}:{plain.port}/x", HOST)

        assert requests.post(plain.url, timeout=5).status_code == 204  # it is there
        assert plain.taken == []
    assert tries(memory) == [1]
