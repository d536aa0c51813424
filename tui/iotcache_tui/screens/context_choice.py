"""The contexts of the configuration, as the palette offers them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from iotcache.config.contexts import ConfigContext


def _no_mistake(name: str) -> str:
    return ""


class ContextChoice(Struct, frozen=True):
    """Contexts of the configuration file."""

    selected: ConfigContext | None = None
    known: tuple[ConfigContext, ...] = ()
    """Those that can be switched to."""
    mistake: Callable[[str], str] = _no_mistake
    """Given a context's name, what keeps its settings from being taken, in a sentence; empty for nothing."""


NO_CONTEXTS: Final = ContextChoice()
