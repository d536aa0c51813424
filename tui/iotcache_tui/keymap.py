"""The keys of the whole program, and the user's own (``[dashboard.keys]``): which acts there are, on which
keys, and whether they can be had.

All of it comes from the bindings of the app, the screens and their panels themselves. Textual's own hook for
clashes, `App.handle_bindings_clash`, speaks only once a screen is shown, of one class at a time, and takes a
binding with two keys that moves to one for a clash with itself; a mistake in a file is told of at the start.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct
from textual.app import App
from textual.binding import Binding, BindingType, Keymap
from textual.keys import KEY_NAME_REPLACEMENTS, KEY_TO_UNICODE_NAME, REPLACED_KEYS, Keys

from iotcache.config.fields import nearest
from iotcache.errors import ConfigError
from iotcache.text import printable
from iotcache_tui.screens.catalog import SCREENS

if TYPE_CHECKING:
    from iotcache_tui.screens.view import ViewScreen

EVERYWHERE = "everywhere"
MODIFIERS = frozenset({"alt", "ctrl", "hyper", "meta", "shift", "super"})
_NAMED = frozenset(key.value for key in Keys) | KEY_TO_UNICODE_NAME.keys() | REPLACED_KEYS.keys()


def _key(shown: str, name: str, action: str, description: str, id: str) -> Binding:
    """A binding that the help lists and the footer does not."""
    return Binding(name, action, description, show=False, key_display=shown, id=id)


_REPLAY: Final = (
    _key("[", "left_square_bracket", "seek(-10)", "Replay: back 10 s", "replay.back"),
    _key("]", "right_square_bracket", "seek(10)", "Replay: on 10 s", "replay.on"),
    _key("{", "left_curly_bracket", "seek(-60)", "Replay: back a minute", "replay.back_minute"),
    _key("}", "right_curly_bracket", "seek(60)", "Replay: on a minute", "replay.on_minute"),
    _key("<", "less_than_sign", "speed(-1)", "Replay: slower", "replay.slower"),
    _key(">", "greater_than_sign", "speed(1)", "Replay: faster", "replay.faster"),
    _key(",", "comma", "mark(-1)", "Replay: the mark before", "replay.mark_before"),
    _key(".", "full_stop", "mark(1)", "Replay: the next mark", "replay.mark_next"),
)
"""They work, and are told of, only while a recording is played."""
_FRAMES: Final = (
    _key(")", "right_parenthesis", "frames(1)", "More frames a second", "app.frames_more"),
    _key("(", "left_parenthesis", "frames(-1)", "Fewer frames a second", "app.frames_fewer"),
)
APP_BINDINGS: Final[tuple[BindingType, ...]] = (
    *(
        Binding(
            entry.key,
            f"show('{entry.name}')",
            f"{entry.title} screen",
            show=False,
            id=f"app.{entry.name}",
        )
        for entry in SCREENS
    ),
    *_REPLAY,
    *_FRAMES,
    _key("0", "0", "problem", "To the gravest problem", "app.problem"),
    Binding("question_mark", "help", "Help", key_display="?", id="app.help"),
    Binding("ctrl+p", "command_palette", "Palette", key_display="^p", id="app.palette"),
    Binding("q", "quit", "Quit", id="app.quit"),
    Binding("ctrl+c", "quit", "Quit", show=False, priority=True),
)
"""The keys of the whole program."""


class KeyAction(Struct, frozen=True):
    """What keys do, on one screen or on all."""

    id: str
    """Empty for keys that are fixed."""
    keys: tuple[str, ...]
    """In Textual's words: ``ctrl+f``, ``question_mark``."""
    what: str
    where: str
    """A screen's title, or `EVERYWHERE`."""


class _BindingScope(Struct, frozen=True):
    """One link of the chain that a key goes through, and the bindings it stands for."""

    kind: type[Any]
    bindings: tuple[Binding, ...]

    def takes_text(self) -> bool:
        from textual.widgets import Input

        return issubclass(self.kind, Input)


def _bindings(kind: type[Any], more: Iterable[BindingType] = ()) -> tuple[Binding, ...]:
    """Of a class and its bases, and ``more`` of a class derived from it.

    As in Textual, what a class binds to a key replaces what its bases did.
    """
    by_key: dict[str, list[Binding]] = {}
    for bindings in (*(base.__dict__.get("BINDINGS", ()) for base in reversed(kind.__mro__)), more):
        own: dict[str, list[Binding]] = {}
        for binding in Binding.make_bindings(bindings):
            own.setdefault(binding.key, []).append(binding)
        by_key.update(own)
    return tuple(binding for bindings in by_key.values() for binding in bindings)


def _screens() -> Iterator[tuple[str, type[ViewScreen]]]:
    from iotcache_tui.screens.view import screen_class

    for entry in SCREENS:
        yield entry.title, screen_class(entry)


def _scopes(screen: type[ViewScreen]) -> tuple[_BindingScope, ...]:
    app = _BindingScope(App, _bindings(App, APP_BINDINGS))
    return (app, *(_BindingScope(kind, _bindings(kind)) for kind in (screen, *screen.PANELS)))


def key_actions(keys: Mapping[str, str] | None = None) -> tuple[KeyAction, ...]:
    """Every act and the keys it is on, with ``keys`` applied; those of all screens first."""
    keymap = _normalized(keys or {})
    titles: dict[str, list[str]] = {}
    first: dict[str, tuple[Binding, list[str]]] = {}
    for title, screen in _screens():
        for scope in _scopes(screen):
            for binding in scope.bindings:
                if _is_no_act(binding) or (scope.takes_text() and not binding.id):
                    continue
                name = binding.id or f" {binding.description}"
                _, on = first.setdefault(name, (binding, []))
                for key in _keys_of(binding, keymap):
                    if key not in on:
                        on.append(key)
                if title not in titles.setdefault(name, []):
                    titles[name].append(title)
    everywhere = len(SCREENS)
    actions = [
        KeyAction(
            binding.id or "",
            tuple(on),
            binding.description,
            EVERYWHERE if len(titles[name]) == everywhere else ", ".join(titles[name]),
        )
        for name, (binding, on) in first.items()
    ]
    return tuple(sorted(actions, key=lambda action: (not action.id, action.where != EVERYWHERE)))


def _is_no_act(binding: Binding) -> bool:
    """Whether it is out of the list: it tells of nothing, or is a letter that a text on the screen names."""
    return not binding.description or binding.system or (binding.id or "").startswith("_")


def _keys_of(binding: Binding, keymap: Keymap) -> tuple[str, ...]:
    given = keymap.get(binding.id or "")
    return tuple(given.split(",")) if given else (binding.key,)


def _normalized(keys: Mapping[str, str]) -> Keymap:
    return App._normalize_keymap(keys)


def check_keys(keys: Mapping[str, str], origin: str) -> None:
    """Raise `ConfigError` for an id that is no act, a key that no terminal sends, and two acts on one key."""
    if not keys:
        return
    known = [action.id for action in key_actions() if action.id]
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
        if clash := _clash(_scopes(screen), keymap):
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


def _clash(scopes: tuple[_BindingScope, ...], keymap: Keymap) -> tuple[str, str, str] | None:
    """Two acts and the key that both are on, at least one of them by the user's wish."""
    for number, scope in enumerate(scopes):
        # A key goes from the panel with the focus to the screen to the app; of two panels one has the focus.
        others = scopes[:2] if number > 1 and not scope.takes_text() else scopes[: min(number, 1)]
        for other in (scope, *others):
            clash = _both(scope.bindings, other.bindings, keymap)
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
        for scope in _scopes(screen):
            left = {binding.key for binding in scope.bindings if binding.id in keys}
            for binding in scope.bindings:
                if binding.id and binding.id not in keys and binding.key in left:
                    own = [one.key for one in scope.bindings if one.id == binding.id]
                    full[binding.id] = ",".join(dict.fromkeys(own))
    return full
