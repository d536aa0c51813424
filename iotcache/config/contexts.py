"""Contexts: ``[context.NAME]`` tables of the configuration file, each with any settings of its own.

One is chosen by ``--context NAME`` or ``IOTCACHE_CONTEXT``; its settings stand above those of the rest of the
file, and below the environment and flags.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, get_args

from msgspec import Struct

from iotcache.config.fields import nearest
from iotcache.errors import ConfigError
from iotcache.text import printable

SECTION: Final = "context"
VARIABLE: Final = "IOTCACHE_CONTEXT"
ContextColour = Literal["red", "yellow", "green", "blue", "cyan"]
_COLOURS: Final[tuple[str, ...]] = get_args(ContextColour)
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
_PRODUCTION: Final = re.compile(r"prod|production|live")


class ConfigContext(Struct, frozen=True):
    """What a context is called and how it is shown; its settings are among those in force."""

    name: str
    colour: ContextColour = "cyan"
    """Of its name in the first line of every screen."""

    @property
    def is_production(self) -> bool:
        return bool(_PRODUCTION.match(self.name.lower()))


def take_contexts(tree: dict[str, Any], file: str) -> dict[str, tuple[ConfigContext, dict[str, Any]]]:
    """Take the contexts out of a file's content: of each what it is and the settings in it, by its name.

    A context that is called after production is red and read-only unless it says otherwise.
    Raises `ConfigError`.
    """
    tables = tree.pop(SECTION, {})
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise ConfigError(f"{SECTION} in {file} holds tables: write [{SECTION}.NAME] above the keys of one")
    found = {}
    for name, table in tables.items():
        if not _NAME.fullmatch(name):
            shown = printable(name, 40)
            raise ConfigError(
                f"the context '{shown}' in {file} has no name: letters, digits, _ . and -, 32 at most"
            )
        settings = dict(table)
        plain = ConfigContext(name)
        colour = settings.pop("color", "red" if plain.is_production else "cyan")
        if colour not in _COLOURS:
            raise ConfigError(
                f'{SECTION}.{name}.color in {file} is "{printable(str(colour), 40)}": '
                f"allowed is {', '.join(_COLOURS)}"
            )
        read_only = settings.pop("read_only", True if plain.is_production else None)
        if read_only is not None:
            dashboard = settings.setdefault("dashboard", {})
            if isinstance(dashboard, dict):
                settings["dashboard"] = {"read_only": read_only} | dashboard
        found[name] = ConfigContext(name, colour), settings
    return found


def selected_context(name: str | None, environ: Mapping[str, str]) -> tuple[str, str]:
    """The context's name and what chose it; an empty name is none, whatever the environment says."""
    return (name, "--context") if name is not None else (environ.get(VARIABLE, ""), VARIABLE)


def require_context(name: str, by: str, known: Iterable[str]) -> None:
    """Raise `ConfigError` for a context that is in no table of the file."""
    known = list(known)
    if name not in known:
        there = f"there are {', '.join(known)}" if known else f"the file has no [{SECTION}.NAME]"
        shown = printable(name, 40)
        raise ConfigError(f"there is no context '{shown}' ({by}){nearest(name, known)}: {there}")
