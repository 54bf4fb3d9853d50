"""Which addresses webhooks may go to: the setting decides, and private ones must be named."""

from __future__ import annotations

import pytest

from streaming.errors import InvalidInput
from streaming.jobs.receivers import Receivers, Refused, Unresolved

#: What names mean in these tests; addresses in any notation mean themselves, as everywhere.
NAMES = {
    "hooks.example.com": ["93.184.216.34"],
    "two.example.com": ["93.184.216.34", "2606:2800:220:1::1"],
    "inside.example.com": ["10.1.2.3"],
    "mixed.example.com": ["93.184.216.34", "127.0.0.1"],
    "metadata.example.com": ["169.254.169.254"],
    "mapped.example.com": ["::ffff:10.0.0.1"],
    "translated.example.com": ["64:ff9b::7f00:1"],
    "six.example.com": ["2002:7f00:1::1"],
    "localhost": ["127.0.0.1", "::1"],
    "127.1": ["127.0.0.1"],
    "0x7f000001": ["127.0.0.1"],
    "0x7f.1": ["127.0.0.1"],
    "2130706433": ["127.0.0.1"],
    "017700000001": ["127.0.0.1"],
    "0": ["0.0.0.0"],
}


def look_up(host: str, _port: int) -> list[str]:
    if host in NAMES:
        return NAMES[host]
    if ":" in host or host.replace(".", "").isdigit():
        return [host]
    raise OSError("Name or service not known")


def receivers(*allowed: str) -> Receivers:
    return Receivers(allowed, resolve=look_up)


PRIVATE = [
    "127.0.0.1", "127.1", "0x7f000001", "0x7f.1", "2130706433", "017700000001", "0", "0.0.0.0",
    "localhost", "LOCALHOST", "localhost.", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::127.0.0.1]",
    "[::ffff:a00:1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::1]", "[2002:7f00:1::]", "[fe80::1]",
    "[fc00::1]", "[fec0::1]", "[ff02::1]", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1",
    "169.254.169.254", "224.0.0.1", "255.255.255.255", "inside.example.com", "mixed.example.com",
    "metadata.example.com", "mapped.example.com", "translated.example.com", "six.example.com",
]  # fmt: skip


@pytest.mark.parametrize("host", PRIVATE)
def test_a_private_address_in_any_notation_is_refused_unless_it_is_named(host: str) -> None:
    with pytest.raises(Refused, match="private"):
        receivers("*").find(f"https://{host}/hook")


@pytest.mark.parametrize("host", PRIVATE)
def test_a_submission_names_the_field_of_what_is_refused(host: str) -> None:
    with pytest.raises(InvalidInput, match="STREAMING_WEBHOOK_HOSTS") as refused:
        receivers("*").admit(f"https://{host}/hook")

    assert [error["field"] for error in refused.value.extra["errors"]] == ["webhook.url"]


def test_without_the_setting_every_host_is_refused() -> None:
    with pytest.raises(Refused, match="STREAMING_WEBHOOK_HOSTS names no host"):
        receivers().find("https://hooks.example.com/")


@pytest.mark.parametrize(
    ("allowed", "url"),
    [
        ("hooks.example.com", "https://hooks.example.com"),
        ("hooks.example.com", "https://HOOKS.example.com.:443/a?b=c"),
        ("*.example.com", "https://hooks.example.com:8443/"),
        ("hooks.example.com:8443", "https://hooks.example.com:8443/"),
        ("*", "https://93.184.216.34/"),
        ("2606:2800:220:1::1", "https://[2606:2800:220:1:0:0:0:1]/"),
    ],
)
def test_what_the_setting_allows_is_found(allowed: str, url: str) -> None:
    assert receivers(allowed).find(url).addresses


@pytest.mark.parametrize(
    ("allowed", "url"),
    [
        ("hooks.example.com", "https://two.example.com/"),
        ("hooks.example.com", "https://hooks.example.com.evil.org/"),
        ("*.example.com", "https://example.com/"),
        ("*.example.com", "https://badexample.com/"),
        ("hooks.example.com:8443", "https://hooks.example.com/"),
        ("127.0.0.1", "https://127.1/"),
    ],
)
def test_what_the_setting_does_not_allow_is_refused_by_its_name(allowed: str, url: str) -> None:
    with pytest.raises(Refused, match="STREAMING_WEBHOOK_HOSTS does not allow"):
        receivers(allowed).find(url)


@pytest.mark.parametrize(
    ("allowed", "url"),
    [
        ("inside.example.com", "https://inside.example.com/"),
        ("localhost", "http://localhost:8000/"),
        ("127.0.0.1", "http://127.0.0.1:8000/"),
        ("[::1]:8000", "http://[0:0::1]:8000/"),
        ("169.254.169.254", "http://169.254.169.254/"),
        ("metadata.example.com", "http://metadata.example.com/"),
    ],
)
def test_a_private_host_that_is_named_may_be_called_without_tls(allowed: str, url: str) -> None:
    assert receivers(allowed).find(url).addresses


def test_a_pattern_beside_a_named_address_allows_names_that_lead_there() -> None:
    assert receivers("*.example.com", "10.1.2.3").find("https://inside.example.com/").addresses

    with pytest.raises(Refused, match="private"):
        receivers("*.example.com", "10.1.2.3:9000").find("https://inside.example.com/")


def test_a_public_host_is_called_with_tls_alone() -> None:
    with pytest.raises(Refused, match="https"):
        receivers("hooks.example.com").find("http://hooks.example.com/")


@pytest.mark.parametrize(
    "url",
    [
        "", "hooks.example.com", "ftp://hooks.example.com/", "file:///etc/passwd", "https://",
        "https:///path", "https://user:word@hooks.example.com/", "https://a@hooks.example.com/",
        "https://hooks.example.com\\@127.0.0.1/", "https://hooks.example.com/#part",
        "https://hooks.example.com/a b", "https://hooks.example.com/\r\nX: y",
        "https://hooks.example.com:99999/", "https://hooks.example.com:port/",
        "https://hooks%2eexample.com/", "https://hööks.example.com/", "https://①②⑦.0.0.1/",
        "https://[fe80::1%25eth0]/", "https://[::1", "https://..example.com/", "javascript:x",
        "https://hooks.example.com/" + "x" * 2048,
    ],
)  # fmt: skip
def test_what_is_no_plain_url_is_refused(url: str) -> None:
    with pytest.raises(Refused):
        receivers("*").find(url)


def test_all_addresses_of_a_name_are_given() -> None:
    found = receivers("*").find("https://two.example.com/x?y=1")

    assert found.addresses == ("93.184.216.34", "2606:2800:220:1::1")
    assert (found.place.host, found.place.port, found.place.target) == (
        "two.example.com", 443, "/x?y=1",
    )  # fmt: skip


def test_a_name_without_an_address_is_taken_for_later_with_tls_alone() -> None:
    with pytest.raises(Unresolved, match=r"new\.example\.com has no address"):
        receivers("*").find("https://new.example.com/")

    receivers("*").admit("https://new.example.com/")
    with pytest.raises(InvalidInput, match="has no address"):
        receivers("*").admit("http://new.example.com/")


@pytest.mark.parametrize("host", ["127.1", "0x7f000001", "2130706433", "localhost", "[::1]"])
def test_the_systems_own_resolver_is_no_way_in(host: str) -> None:
    with pytest.raises(InvalidInput, match="private"):
        Receivers(["*"]).admit(f"https://{host}/")
