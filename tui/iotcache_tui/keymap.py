"""The user's keys (``[dashboard.keys]``): which acts there are, on which keys, and whether they can be had.

All of it comes from the bindings of the app, the screens and their panels themselves. Textual's own hook for
clashes, `App.handle_bindings_clash`, speaks only once a screen is shown, of one class at a time, and takes a
binding with two keys that moves to one for a clash with itself; a mistake in a file is told of at the start.
"""

from __future__ import annotations

import importlib
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct
from textual.binding import Binding, Keymap
from textual.keys import KEY_NAME_REPLACEMENTS, KEY_TO_UNICODE_NAME, REPLACED_KEYS, Keys
from textual.widgets import Input

from iotcache.config.fields import nearest
from iotcache.errors import ConfigError
from iotcache.text import printable
from iotcache_tui.app import IotCacheApp
from iotcache_tui.screens.catalog import SCREENS
from iotcache_tui.screens.view import ViewScreen

EVERYWHERE = "everywhere"
MODIFIERS = frozenset({"alt", "ctrl", "hyper", "meta", "shift", "super"})
_NAMED = frozenset(key.value for key in Keys) | KEY_TO_UNICODE_NAME.keys() | REPLACED_KEYS.keys()


class KeyAction(Struct, frozen=True):
    """What keys do, on one screen or on all."""

    id: str
    """Empty for keys that are fixed."""
    keys: tuple[str, ...]
    """In Textual's words: ``ctrl+f``, ``question_mark``."""
    what: str
    where: str
    """A screen's title, or `EVERYWHERE`."""


class _Place(Struct, frozen=True):
    """One link of the chain that a key goes through, and the bindings it stands for."""

    kind: type[Any]
    bindings: tuple[Binding, ...]

    def takes_text(self) -> bool:
        return issubclass(self.kind, Input)


def _bindings(kind: type[Any]) -> tuple[Binding, ...]:
    """Of a class and its bases; as in Textual, what a class binds to a key replaces what its bases did."""
    found: dict[str, list[Binding]] = {}
    for base in reversed(kind.__mro__):
        own: dict[str, list[Binding]] = {}
        for binding in Binding.make_bindings(base.__dict__.get("BINDINGS", ())):
            own.setdefault(binding.key, []).append(binding)
        found.update(own)
    return tuple(binding for bindings in found.values() for binding in bindings)


def _screens() -> Iterator[tuple[str, type[ViewScreen]]]:
    for entry in SCREENS:
        module, _, name = entry.place.partition(":")
        yield entry.title, getattr(importlib.import_module(module), name)


def _places(screen: type[ViewScreen]) -> tuple[_Place, ...]:
    kinds: tuple[type[Any], ...] = (IotCacheApp, screen, *screen.PANELS)
    return tuple(_Place(kind, _bindings(kind)) for kind in kinds)


def acts(keys: Mapping[str, str] | None = None) -> tuple[KeyAction, ...]:
    """Every act and the keys it is on, with ``keys`` applied; those of all screens first."""
    keymap = _normalized(keys or {})
    titles: dict[str, list[str]] = {}
    first: dict[str, tuple[Binding, list[str]]] = {}
    for title, screen in _screens():
        for place in _places(screen):
            for binding in place.bindings:
                if _is_no_act(binding) or (place.takes_text() and not binding.id):
                    continue
                name = binding.id or f" {binding.description}"
                _, on = first.setdefault(name, (binding, []))
                for key in _keys_of(binding, keymap):
                    if key not in on:
                        on.append(key)
                if title not in titles.setdefault(name, []):
                    titles[name].append(title)
    everywhere = len(SCREENS)
    found = [
        KeyAction(
            binding.id or "",
            tuple(on),
            binding.description,
            EVERYWHERE if len(titles[name]) == everywhere else ", ".join(titles[name]),
        )
        for name, (binding, on) in first.items()
    ]
    return tuple(sorted(found, key=lambda act: (not act.id, act.where != EVERYWHERE)))


def _is_no_act(binding: Binding) -> bool:
    """Whether it is out of the list: it tells of nothing, or is a letter that a text on the screen names."""
    return not binding.description or binding.system or (binding.id or "").startswith("_")


def _keys_of(binding: Binding, keymap: Keymap) -> tuple[str, ...]:
    given = keymap.get(binding.id or "")
    return tuple(given.split(",")) if given else (binding.key,)


def _normalized(keys: Mapping[str, str]) -> Keymap:
    return IotCacheApp._normalize_keymap(keys)


def check_keys(keys: Mapping[str, str], origin: str) -> None:
    """Raise `ConfigError` for an id that is no act, a key that no terminal sends, and two acts on one key."""
    if not keys:
        return
    known = [act.id for act in acts() if act.id]
    for name, wanted in keys.items():
        if name not in known:
            shown = printable(name, 80)
            raise ConfigError(
                f"dashboard.keys ({origin}): '{shown}' is no act{nearest(name, known)} "
                "('iotcache-tui config keys' lists them)"
            )
        for key in wanted.split(","):
            if wrong := _wrong_key(key.strip()):
                raise ConfigError(f'dashboard.keys."{name}" ({origin}) is "{printable(wanted, 80)}": {wrong}')
    keymap = _normalized(keys)
    for title, screen in _screens():
        if clash := _clash(_places(screen), keymap):
            one, other, key = clash
            raise ConfigError(
                f"dashboard.keys ({origin}): {one} and {other} are both on {key} on the {title} screen: "
                "give one of them another key"
            )


def _wrong_key(key: str) -> str:
    """Why no terminal sends it, with what is allowed; empty when all is well."""
    form = "allowed are keys such as S, f5, ctrl+f or question_mark, with commas between them"
    if not key:
        return f"there is an empty key; {form}"
    if len(key) == 1 or key in _NAMED:
        return "" if key.isprintable() else f"a control character is no key; {form}"
    *modifiers, base = key.split("+")
    if not all(one in MODIFIERS for one in modifiers) or not (len(base) == 1 or _named(base)):
        return f"'{printable(key, 40)}' is no key; {form}"
    if modifiers and len(base) == 1 and base.isupper():
        return f"'{key}' is no key: write {'+'.join([*modifiers, base.lower()])}"
    if modifiers == ["shift"] and len(base) == 1:
        return f"'{key}' is no key: write {base.upper()}"
    return ""


def _named(key: str) -> bool:
    if key in _NAMED:
        return True
    try:
        unicodedata.lookup(KEY_NAME_REPLACEMENTS.get(key, key).replace("_", " ").upper())
    except KeyError:
        return False
    return True


def _clash(places: tuple[_Place, ...], keymap: Keymap) -> tuple[str, str, str] | None:
    """Two acts and the key that both are on, at least one of them by the user's wish."""
    for number, place in enumerate(places):
        # A key goes from the panel with the focus to the screen to the app; of two panels one has the focus.
        others = places[:2] if number > 1 and not place.takes_text() else places[: min(number, 1)]
        for other in (place, *others):
            clash = _both(place.bindings, other.bindings, keymap)
            if clash is not None:
                return clash
    return None


def _both(
    ours: tuple[Binding, ...], theirs: tuple[Binding, ...], keymap: Keymap
) -> tuple[str, str, str] | None:
    there = _spread(theirs, keymap)
    for key, here in _spread(ours, keymap).items():
        for binding, moved in here:
            for other, other_moved in there.get(key, ()):
                if (moved or other_moved) and binding.id != other.id:
                    return _name(binding), _name(other), key
    return None


def _spread(bindings: tuple[Binding, ...], keymap: Keymap) -> dict[str, list[tuple[Binding, bool]]]:
    """By key: what is on it, and whether the user put it there. What was there at first may stay so."""
    at_first = {(binding.id, binding.key) for binding in bindings}
    on: dict[str, list[tuple[Binding, bool]]] = {}
    for binding in bindings:
        for key in _keys_of(binding, keymap):
            on.setdefault(key, []).append((binding, (binding.id, key) not in at_first))
    return on


def _name(binding: Binding) -> str:
    named = not (binding.id or "_").startswith("_")
    return (
        binding.id if binding.id and named else f"'{binding.description or binding.action}', which is fixed,"
    )


def complete(keys: Mapping[str, str]) -> dict[str, str]:
    """``keys`` for Textual, with the acts that share a key with one that moves away.

    Textual takes the whole key from the class when one of its bindings moves (seen in 8.2), so the others
    are put back by name.
    """
    full = dict(keys)
    for _, screen in _screens():
        for place in _places(screen):
            left = {binding.key for binding in place.bindings if binding.id in keys}
            for binding in place.bindings:
                if binding.id and binding.id not in keys and binding.key in left:
                    own = [one.key for one in place.bindings if one.id == binding.id]
                    full[binding.id] = ",".join(dict.fromkeys(own))
    return full
