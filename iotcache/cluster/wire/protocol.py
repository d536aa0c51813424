"""What goes out: memcached's meta commands as pure functions over bytes; no socket, no clock.

Source: memcached's doc/protocol.txt ("Meta Commands") and what 1.6.18 was seen to answer. Every command is
sent non-quiet, so each gets exactly one answer, matched by order: errors carry neither key nor opaque, and
quiet mode would hide which command failed. A batch ends in ``mn``, whose ``MN`` proves that the count was
right.
"""

from __future__ import annotations

import re
from typing import Final

from iotcache.errors import KeyFormatError, NodeError
from iotcache.keys import MAX_KEY_BYTES
from iotcache.text import printable

BARRIER: Final = b"mn\r\n"

_KEY = re.compile(rf"[\x21-\x7e]{{1,{MAX_KEY_BYTES}}}")


def checked_key(key: str) -> bytes:
    """``key`` as it goes on the wire. Raises `KeyFormatError`.

    Checked before anything is sent: a key over 250 bytes makes memcached read the *value* that follows as
    commands, and a space or line end in it would be one outright.
    """
    if not _KEY.fullmatch(key):
        raise KeyFormatError(
            f"a cache key is 1 to {MAX_KEY_BYTES} printable ASCII characters without spaces, "
            f"not {printable(key, 60)!r}"
        )
    return key.encode("ascii")


# Encoders --------------------------------------------------------------------------------------


def get_request(key: bytes) -> bytes:
    """Ask for value, remaining TTL and client flags, in this order of answer flags."""
    return b"mg %b v t f\r\n" % key


def look_request(key: bytes) -> bytes:
    """As `get_request`, without a bump in the LRU (``u``)."""
    return b"mg %b v t f u\r\n" % key


def look_cas_request(key: bytes) -> bytes:
    """As `get_cas_request`, without a bump in the LRU."""
    return b"mg %b v t f c u\r\n" % key


def get_cas_request(key: bytes) -> bytes:
    """As `get_request`, with the item's CAS unique at the end."""
    return b"mg %b v t f c\r\n" % key


def lease_request(key: bytes, stub_s: int, recache_s: int) -> bytes:
    """As `get_cas_request`, and the first to miss wins a lease: it holds a stub of ``stub_s`` seconds' life.

    With ``recache_s`` > 0 the first to find less than so many seconds left wins one, too.
    """
    if recache_s:
        return b"mg %b v t f c N%d R%d\r\n" % (key, stub_s, recache_s)
    return b"mg %b v t f c N%d\r\n" % (key, stub_s)


def probe_request(key: bytes) -> bytes:
    """Look at an item without touching its place in the LRU or any hit counter."""
    return b"me %b\r\n" % key


def set_request(key: bytes, value: bytes, flags: int, ttl: int, extra: bytes = b"") -> bytes:
    """Store ``value`` for ``ttl`` (made by `iotcache.ttl.wire_ttl`); ``extra`` is more flags (`` C9``)."""
    return b"ms %b %d T%d F%d%b\r\n%b\r\n" % (key, len(value), ttl, flags, extra, value)


def delete_request(key: bytes) -> bytes:
    """Delete."""
    return b"md %b\r\n" % key


def expire_request(key: bytes, cas: int) -> bytes:
    """Let the very item that has ``cas`` expire now.

    For what no user has deleted: the node counts no deletion, and nobody who asks it why an entry is gone
    is misled. Source: doc/protocol.txt, "Meta Set", and "Expiration times": a negative one has passed.
    """
    return b"ms %b 0 T-1 C%d\r\n\r\n" % (key, cas)


def touch_request(key: bytes, ttl: int) -> bytes:
    """Give an item a new life without reading it."""
    return b"mg %b T%d\r\n" % (key, ttl)


def login_request(username: str, password: str) -> bytes:
    """ASCII authentication (memcached ``-Y``): a ``set`` whose value is ``username password``.

    Raises `NodeError` for characters that would end the value early; the text holds no secret.
    """
    if any(not char.isprintable() or char == " " for char in username + password):
        raise NodeError("a cache login may hold no spaces and no control characters")
    value = f"{username} {password}".encode()
    # A node that asks for no login takes this for an ordinary set: of an item that is dead at once.
    return b"set auth 0 -1 %d\r\n%b\r\n" % (len(value), value)
