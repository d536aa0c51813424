"""The shells that are completed, and which names may be offered to them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

SHELLS: Final = ("bash", "zsh", "fish")
NAMES_MOST: Final = 2_000
_SAFE: Final = re.compile(r"[A-Za-z0-9_.:@%+-]+")


def safe_names(names: Iterable[str]) -> list[str]:
    """The first `NAMES_MOST` different names that mean nothing to a shell, sorted.

    A shell expands what it is offered: ``compgen -W`` would run a device named ``$(rm -rf ~)``.
    """
    return sorted({name for name in names if _SAFE.fullmatch(name) and not name.startswith("-")})[:NAMES_MOST]
