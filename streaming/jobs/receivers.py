"""Receivers of webhooks: which addresses a call may go to. One parser, for the check and the call.

A name is looked up once for a call, all its addresses are checked, and the connection goes to one
of these: what the name means a moment later is no way into a private network.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from streaming.concurrency.platform import original
from streaming.concurrency.threads import offload
from streaming.errors import InvalidInput

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
#: Addresses of a name, for connections to a port; `OSError` when there are none.
Resolve = Callable[[str, int], Sequence[str]]

#: Maximum characters of a URL.
URL_LENGTH = 2048
#: What carries an IPv4 address in its last 32 bits: NAT64, and compatible addresses of old.
_CARRIERS = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "::/96")))
#: Not for everyone either: NAT64 of a network's own, and site-local addresses of old.
_LOCAL = tuple(map(ipaddress.IPv6Network, ("64:ff9b:1::/48", "fec0::/10")))


class Refused(ValueError):
    """Raised for an address that calls may not go to."""


class Unresolved(OSError):
    """Raised when a host's name has no address at present."""


@dataclass(frozen=True, slots=True)
class Place:
    """A URL taken apart."""

    secure: bool
    host: str
    port: int
    #: Path and query, as they were given.
    target: str


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where a call goes: a place, and its addresses, which were checked."""

    place: Place
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Allowed:
    """An entry of STREAMING_WEBHOOK_HOSTS."""

    host: str
    port: int | None

    def has(self, place: Place) -> bool:
        if not self.leads_to(place.port):
            return False
        if self.host.startswith("*"):
            return place.host.endswith(self.host[1:])
        return self.names(place.host)

    def leads_to(self, port: int) -> bool:
        return self.port in (None, port)

    def names(self, host: str) -> bool:
        """Whether it is this very host or address that it names."""
        ours, theirs = address_of(self.host), address_of(host)
        return self.host == host if ours is None or theirs is None else ours == theirs


def resolve(host: str, port: int) -> Sequence[str]:
    """What the system's resolver says; blocks a real thread, never the event loop."""
    lookup = original("socket", "getaddrinfo")
    found = offload(lambda: lookup(host, port, type=socket.SOCK_STREAM))
    return list(dict.fromkeys(str(each[4][0]) for each in found))


class Receivers:
    """The hosts that calls may go to. Shared by all threads."""

    def __init__(self, allowed: Collection[str] = (), *, resolve: Resolve = resolve) -> None:
        """`allowed`: the entries of STREAMING_WEBHOOK_HOSTS; without any, every host is refused."""
        self._allowed = [_entry(each) for each in allowed]
        self._resolve = resolve

    def admit(self, url: str) -> None:
        """`InvalidInput` for a URL that calls may not go to.

        A name that has no address at present is taken with https: it may have one later.
        """
        try:
            self.find(url)
        except Refused as error:
            raise InvalidInput.of([("webhook.url", str(error))]) from error
        except Unresolved as error:
            if url[:6].lower() != "https:":  # http is for private addresses alone
                raise InvalidInput.of([("webhook.url", str(error))]) from error

    def find(self, url: str) -> Receiver:
        """Where a call to `url` goes; `Refused`, or `Unresolved` for a name without an address."""
        place = parse(url)
        entries = [each for each in self._allowed if each.has(place)]
        if not entries:
            raise Refused(
                f"STREAMING_WEBHOOK_HOSTS does not allow {place.host}"
                if self._allowed
                else "this server makes no calls: STREAMING_WEBHOOK_HOSTS names no host"
            )
        try:
            found = self._resolve(place.host, place.port)
        except (OSError, UnicodeError) as error:
            raise Unresolved(f"{place.host} has no address: {error}") from error
        named = any(each.names(place.host) for each in entries)
        self._check(place, found, named=named)
        return Receiver(place, tuple(found))

    def _check(self, place: Place, addresses: Sequence[str], *, named: bool) -> None:
        """`Refused` unless all addresses are public, or private ones that the setting names."""
        here = [each for each in self._allowed if each.leads_to(place.port)]
        for text in addresses:
            public = is_public(ipaddress.ip_address(text))
            if not public and not named and not any(each.names(text) for each in here):
                raise Refused(
                    f"{place.host} is at a private address, which STREAMING_WEBHOOK_HOSTS "
                    "does not name"
                )
            if public and not place.secure:
                raise Refused("https:// is needed, except for private hosts that are named")


def parse(url: str) -> Place:
    """The parts of a URL; `Refused` for one that programs might read in different ways."""
    if len(url) > URL_LENGTH or not re.fullmatch(r"[!-~]+", url) or re.search(r"[\\<>\"#]", url):
        raise Refused(
            f"a URL of at most {URL_LENGTH} printable ASCII characters, without a fragment"
        )
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").removesuffix("."), parts.port
    except ValueError as error:
        raise Refused(f"no URL: {error}") from error
    if parts.scheme not in ("http", "https"):
        raise Refused("https://host/path")
    if "@" in parts.netloc:
        raise Refused("a URL without user and password")
    plain = re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*", host)
    if not plain and ("[" not in parts.netloc or "%" in host or address_of(host) is None):
        raise Refused(f"{host[:100]!r} is no host; names in other scripts are written as xn--…")
    secure = parts.scheme == "https"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Place(secure, host, (443 if secure else 80) if port is None else port, target)


def address_of(text: str) -> Address | None:
    """The address that a host is, where it is one in the usual notation."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def is_public(address: Address) -> bool:
    """Whether an address is anyone's to reach, and carries none that is not."""
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not address.is_multicast
    if any(address in network for network in _LOCAL):
        return False
    carried = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if any(address in network for network in _CARRIERS):
        carried.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    inside = [each for each in carried if each is not None]
    if address.ipv4_mapped is None and (not address.is_global or address.is_multicast):
        return False
    return all(each.is_global and not each.is_multicast for each in inside)


def _entry(text: str) -> _Allowed:
    """An entry of the setting, which has been checked there."""
    found = re.fullmatch(r"(\[[^\]]+\]|[^:]+):(\d+)", text)
    host, port = (found[1], int(found[2])) if found else (text, None)
    return _Allowed(host.strip("[]").lower(), port)
