"""Who may have the page: checks of Host, Origin and token, as pure functions over header values.

A browser sends requests on behalf of any page that it shows. ``Origin`` tells such a page from ours, and
``Host`` tells a name that somebody else made point here (DNS rebinding) from a name of this machine.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from urllib.parse import urlsplit

from msgspec import Struct, field

from iotcache.errors import UsageError
from iotcache.text import printable

TOKEN_MIN = 12
"""Fewest characters of a token; one that is made up has 43."""
_PORTS = {"http": 80, "https": 443}


class RefusedRequest(Struct, frozen=True):
    status: int
    text: str


class Access(Struct, frozen=True):
    """What a server lets in: ``names`` are host names that it may be called by, in lower case."""

    names: frozenset[str] = frozenset({"localhost"})
    loopback: bool = True
    """Whether it listens on this machine only: then no other address may be in Host either."""
    url: str = ""
    """Where visitors see it, if not where it listens: a proxy's address."""
    token: str = ""
    cookie: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    """What a browser shows instead of the token, once it has shown that; good for one run of the server."""

    def refusal(self, host: str, origin: str | None) -> RefusedRequest | None:
        """Why a request with these headers is refused, if it is."""
        name, _ = _split(host)
        if not self._is_ours(name):
            return RefusedRequest(
                403, f"this server is not called {printable(host, 80) or 'nothing'}: see --serve-url"
            )
        if origin is not None and not self._is_own_page(origin, host):
            return RefusedRequest(403, "pages of another site may not use the dashboard: see --serve-url")
        return None

    def knows(self, *, token: str = "", authorization: str = "", cookie: str = "") -> bool:
        """Whether the visitor has shown the token, in one of these ways."""
        if not self.token:
            return True
        kind, _, bearer = authorization.partition(" ")
        given = bearer.strip() if kind.lower() == "bearer" else token
        return _same(given, self.token) or _same(cookie, self.cookie)

    def _is_ours(self, name: str) -> bool:
        if name in self.names or (self.url and name == _split(urlsplit(self.url).netloc)[0]):
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        # Nobody can make an address point elsewhere, as they can a name.
        return address.is_loopback or not self.loopback

    def _is_own_page(self, origin: str, host: str) -> bool:
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        if parts.scheme not in _PORTS:
            return False  # "null", of a sandboxed page, too
        seen = (parts.scheme, *_split(parts.netloc, _PORTS[parts.scheme]))
        if self.url:
            public = urlsplit(self.url)
            if seen == (public.scheme, *_split(public.netloc, _PORTS[public.scheme])):
                return True
        return seen == ("http", *_split(host, 80))


def _split(netloc: str, port: int = 0) -> tuple[str, int]:
    """Host and port of ``host``, ``host:port`` or ``[v6]:port``; in lower case, without the brackets."""
    name, colon, digits = netloc.rpartition(":")
    if not colon or netloc.endswith("]"):
        name, digits = netloc, ""
    return name.strip("[]").lower(), int(digits) if digits.isdecimal() and len(digits) < 6 else port


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), wanted.encode())


def checked_url(text: str) -> str:
    """A ``--serve-url``. Raises `UsageError`."""
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in _PORTS or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise UsageError(
            f"--serve-url is '{printable(text, 80)}', allowed is http:// or https://, a host, perhaps a path"
        )
    return text.rstrip("/")


def checked_token(text: str) -> str:
    """A ``--serve-token``: as given, from ``@file``, or made up for an empty text. Raises `UsageError`."""
    if not text:
        return secrets.token_urlsafe(32)
    if text.startswith("@"):
        try:
            with open(text[1:], encoding="utf-8") as file:  # noqa: PTH123 (any name a shell takes)
                text = file.read(4_096).strip()
        except (OSError, ValueError) as error:
            raise UsageError(f"--serve-token: {printable(text[1:], 80)} cannot be read") from error
    if len(text) < TOKEN_MIN or not text.isprintable():
        raise UsageError(f"--serve-token needs {TOKEN_MIN} characters or more")
    return text
