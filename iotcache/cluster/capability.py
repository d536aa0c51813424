"""What a node's version can do: a missing feature is switched off and named, never a crash.

Source: memcached's release notes, and answers seen from 1.6.18.
"""

from __future__ import annotations

import re

from msgspec import Struct

_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")
_META = (1, 6, 0)
SECURE = (1, 6, 45)
"""From here on the faults are mended that its release notes call security fixes."""


class Capabilities(Struct, frozen=True):
    """Features by version of the server."""

    version: str
    meta: bool
    """``mg ms md mn me`` as documented."""
    negated_exp: bool
    """``me`` prints the seconds left with the wrong sign (before 1.6.24)."""
    watch_deletions: bool
    """``watch deletions`` (1.6.20); earlier servers refuse the whole ``watch`` line for it."""
    mgdump: bool
    """``lru_crawler mgdump`` (1.6.19)."""
    explicit_cas: bool
    """The ``E`` flag sets an item's CAS unique (1.6.27)."""
    bundled: bool
    """The Python node that comes with this program."""

    def missing(self) -> tuple[str, ...]:
        """Names of what is switched off on this node."""
        switches = {
            "meta commands": self.meta,
            "watch deletions": self.watch_deletions,
            "mgdump": self.mgdump,
            "explicit CAS": self.explicit_cas,
        }
        return tuple(name for name, there in switches.items() if not there)


def is_older(version: str, than: tuple[int, int, int]) -> bool:
    """Whether a ``version`` answer names an older one; an unreadable one is not."""
    found = _VERSION.search(version)
    return found is not None and tuple(map(int, found.groups())) < than


def capabilities(version: str) -> Capabilities:
    """Read a ``version`` answer; an unreadable one is taken for a current server of another make."""
    found = _VERSION.search(version)
    number = (int(found[1]), int(found[2]), int(found[3])) if found else (1, 6, 999)
    bundled = version.endswith("-iotcache")
    return Capabilities(
        version=version,
        meta=number >= _META,
        negated_exp=number < (1, 6, 24),
        watch_deletions=number >= (1, 6, 20) and not bundled,
        mgdump=number >= (1, 6, 19) and not bundled,
        explicit_cas=number >= (1, 6, 27),
        bundled=bundled,
    )
