"""The way to a model's server: addresses, certificates, compressed and odd HTTP."""

from __future__ import annotations

import contextlib
import gzip
import socket
import ssl
import subprocess
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.openai_server import ModelServer
from streaming.concurrency.stop_signal import StopSignal
from streaming.errors import TaskError
from streaming.llm.base import Ending, Piece, Prompt
from streaming.llm.openai import OpenAIModel
from streaming.llm.server import Patience
from tests.llm.conftest import KEY

ANSWER = (
    b'data: {"choices":[{"delta":{"content":"so"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)


def ask(url: str, name: str = "m") -> list[Piece]:
    patience = Patience(retry_s=0.01, connect_s=5, first_token_s=2)
    model = OpenAIModel(url, [name], key=KEY, patience=patience)
    return list(model.stream(Prompt("x"), StopSignal()))


@contextlib.contextmanager
def answering(response: bytes, context: ssl.SSLContext | None = None) -> Iterator[tuple[int, list]]:
    """A server that answers everything with these bytes, and hangs up; its port and questions."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with contextlib.suppress(OSError), connection:
                    if context is not None:
                        connection = context.wrap_socket(connection, server_side=True)
                    data = b""
                    while not data.endswith(b"}") and data[:1] != b"\x16":  # or it is TLS
                        more = connection.recv(65536)
                        if not more:
                            break
                        data += more
                    asked.append(data)
                    connection.sendall(response)
                    connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1], asked
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def head(*lines: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode()


@pytest.mark.parametrize(
    "response",
    [
        head("Content-Type: text/event-stream") + ANSWER,
        b"HTTP/1.0 200 OK\r\n\r\n" + ANSWER,
        head(f"Content-Length: {len(ANSWER)}") + ANSWER,
        head("Transfer-Encoding: chunked") + b"%x\r\n%b\r\n0\r\n\r\n" % (len(ANSWER), ANSWER),
        head("Content-Encoding: gzip") + gzip.compress(ANSWER),
        head("Content-Encoding: gzip") + b"".join(map(gzip.compress, (ANSWER[:9], ANSWER[9:]))),
        head("Content-Encoding: gzip") + gzip.compress(ANSWER) + bytes(20),
        head("Content-Encoding: deflate") + zlib.compress(ANSWER),
        head("Content-Encoding: deflate") + zlib.compress(ANSWER, wbits=-15),
        head(status="100 Continue") + head() + ANSWER,
    ],
    ids=[
        *("until it hangs up", "HTTP/1.0", "length", "chunked"),
        *("gzip", "gzip in members", "gzip, padded", "zlib", "deflate", "continue"),
    ],
)
def test_a_body_is_read_however_it_is_framed(response: bytes) -> None:
    with answering(response) as (port, _):
        assert ask(f"http://127.0.0.1:{port}/v1")[1:] == ["so", Ending("stop")]


@pytest.mark.parametrize("response", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent"])
def test_what_is_no_http_is_a_clear_error(response: bytes) -> None:
    with answering(response) as (port, _), pytest.raises(TaskError) as failed:
        ask(f"http://127.0.0.1:{port}/v1")

    assert failed.value.code == "model_unavailable"


def test_an_address_that_leads_elsewhere_says_where_to() -> None:
    to = "Location: https://models.example/v2/chat/completions?key=secret"
    moved = head(to, "Content-Length: 0", status="308 Permanent Redirect")
    with answering(moved) as (port, _), pytest.raises(TaskError) as failed:
        ask(f"http://127.0.0.1:{port}/v1")

    assert "elsewhere" in failed.value.detail
    assert "308: https://models.example/v2/chat/completions)" in failed.value.detail


def test_a_query_goes_along_and_the_host_is_named() -> None:
    with answering(head() + ANSWER) as (port, asked):
        ask(f"http://127.0.0.1:{port}/openai/chat/completions?api-version=7")

    assert asked[0].startswith(b"POST /openai/chat/completions?api-version=7 HTTP/1.1\r\n")
    assert f"Host: 127.0.0.1:{port}\r\n".encode() in asked[0]


def test_an_address_without_a_path_is_that_of_v1(model_server: ModelServer) -> None:
    assert Ending("stop") in ask(model_server.url.removesuffix("/v1"), "eos")


def test_a_proxy_that_the_environment_comes_to_name_is_used_from_then_on(
    model_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    model = OpenAIModel(model_server.url, ["eos"], key=KEY)
    assert Ending("stop") in model.stream(Prompt("x"), StopSignal())

    with answering(head() + ANSWER) as (port, asked):
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        assert "so" in model.stream(Prompt("x"), StopSignal())

    assert asked[0].startswith(f"POST {model_server.url}/chat/completions ".encode())


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that nobody has signed, with its key in the same file."""
    folder = tmp_path_factory.mktemp("tls")
    file = folder / "both.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    command += f" -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 -keyout {folder}/key.pem"
    subprocess.run(
        [*command.split(), "-out", f"{folder}/cert.pem"], check=True, capture_output=True
    )
    file.write_bytes((folder / "key.pem").read_bytes() + (folder / "cert.pem").read_bytes())
    return file


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_a_certificate_that_the_environment_names_is_trusted(
    certificate: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, str(certificate))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)

    with answering(head() + ANSWER, context) as (port, _):
        assert ask(f"https://127.0.0.1:{port}/v1")[1:] == ["so", Ending("stop")]


def test_a_certificate_that_nobody_vouches_for_is_explained(certificate: Path) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)

    with answering(head() + ANSWER, context) as (port, asked), pytest.raises(TaskError) as failed:
        ask(f"https://127.0.0.1:{port}/v1")

    assert failed.value.code == "model_unavailable"
    assert "self-signed certificate" in failed.value.detail
    assert "SSL_CERT_FILE" in failed.value.detail


def test_a_server_without_tls_is_named_as_one() -> None:
    with answering(head(status="400 Bad Request")) as (port, _), pytest.raises(TaskError) as failed:
        ask(f"https://127.0.0.1:{port}/v1")

    assert "http://" in failed.value.detail


def test_a_file_of_certificates_that_is_none_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))

    with pytest.raises(TaskError, match="SSL_CERT_FILE=.*cannot be read"):
        ask("https://127.0.0.1:9/v1")
