"""Cache keys: ``{device}:{sensor}:latest`` and its siblings, safe whatever a device calls itself.

A part of a key keeps ``A-Z a-z 0-9 . _ ~ @ + -``; every other byte of its UTF-8 form is written ``%XX`` (RFC
3986's percent-encoding), so a name can neither end a protocol line nor forge a ``:``. A key over
memcached's 250 bytes keeps a readable head and ends in ``#`` and 32 hex digits of BLAKE2b of the
whole; ``#`` never occurs otherwise.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import unquote

from iotcache.errors import KeyFormatError

MAX_KEY_BYTES = 250
"""memcached's doc/protocol.txt, "Keys"."""
_HASH_HEX = 32
_SAFE = re.compile(r"[A-Za-z0-9._~@+-]+")
_UNSAFE_BYTE = re.compile(rb"[^A-Za-z0-9._~@+-]")
_VALID_PREFIX = re.compile(r"[\x21-\x7e]{0,64}")


@lru_cache(maxsize=65_536)
def escape(part: str) -> str:
    """``part`` as it stands in a key. Raises `KeyFormatError` for an empty part."""
    if _SAFE.fullmatch(part):
        return part
    if not part:
        raise KeyFormatError("a cache key needs a device and a sensor name that are not empty")
    raw = part.encode("utf-8", "surrogatepass")
    return _UNSAFE_BYTE.sub(lambda hit: b"%%%02X" % hit[0][0], raw).decode("ascii")


def unescape(part: str) -> str:
    """The name that `escape` made ``part`` of."""
    return unquote(part, errors="surrogatepass")


def _fit(key: str) -> str:
    if len(key) <= MAX_KEY_BYTES:
        return key
    digest = hashlib.blake2b(key.encode("ascii"), digest_size=_HASH_HEX // 2).hexdigest()
    return f"{key[: MAX_KEY_BYTES - _HASH_HEX - 1]}#{digest}"


class Keys:
    """Makes the keys of one deployment, under its optional prefix."""

    def __init__(self, prefix: str = "", bucket_s: int = 60) -> None:
        if not _VALID_PREFIX.fullmatch(prefix) or "#" in prefix:
            raise KeyFormatError(
                f"a key prefix is up to 64 printable ASCII characters without '#', not {prefix!r}"
            )
        self.prefix = prefix
        self.bucket_s = bucket_s
        self._latest: dict[tuple[str, str], str] = {}

    def latest(self, device: str, sensor: str) -> str:
        """The key of a series' newest reading; remembered, as it is made for every read and write."""
        name = (device, sensor)
        key = self._latest.get(name)
        if key is None:
            if len(self._latest) >= 500_000:
                self._latest.clear()
            key = self._latest[name] = _fit(f"{self.prefix}{escape(device)}:{escape(sensor)}:latest")
        return key

    def latest_many(self, series: Sequence[tuple[str, str]]) -> list[str]:
        """`latest` of each ``(device, sensor)``, in order."""
        known = self._latest
        try:
            return [known[name] for name in series]
        except KeyError:
            return [self.latest(device, sensor) for device, sensor in series]

    def bucket(self, device: str, sensor: str, ts_us: int) -> str:
        """The key of the readings around ``ts_us``: ``device123:temperature:20240618T1500Z``."""
        start = ts_us // 1_000_000 // self.bucket_s * self.bucket_s
        form = "%Y%m%dT%H%MZ" if self.bucket_s % 60 == 0 else "%Y%m%dT%H%M%SZ"
        stamp = time.strftime(form, time.gmtime(start))
        return _fit(f"{self.prefix}{escape(device)}:{escape(sensor)}:{stamp}")

    def meta(self, device: str) -> str:
        """The key of a device's metadata."""
        return _fit(f"{self.prefix}{escape(device)}:meta")

    def config(self, device: str) -> str:
        """The key of a device's configuration."""
        return _fit(f"{self.prefix}{escape(device)}:cfg")

    def aggregate(self, site: str, sensor: str, window: str = "1m") -> str:
        """The key of a site's aggregate of one sensor."""
        return _fit(f"{self.prefix}agg:{escape(site)}:{escape(sensor)}:{window}")
