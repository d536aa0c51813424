"""Paths into a payload, such as ``data.v``, and the fields that are made of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from iotcache.decode.limits import DEPTH_LIMIT, is_too_deep
from iotcache.text import printable

Step = str | int
ALLOWED: Final = (
    "a path such as data.v, list[0].v, $.meta.time or ['a.b'], several of them (a | b), "
    "a constant such as =C, or empty"
)
_STEP: Final = re.compile(r"(?:^|\.)([^.\[\]'=$*\s][^.\[\]'*]*)|\[(-?[0-9]{1,6})\]|\['([^']+)'\]")
_SEVERAL: Final = re.compile(r"\s\|\s")
_IN_BRACES: Final = re.compile(r"\{([^{}]+)\}")


class NotThere(ValueError):
    """A payload that does not hold what the paths promise; the text is safe to show."""


class NothingThere(NotThere):
    """A payload that has nothing where values should be: a message of another kind, it may be."""


class FieldPath(Struct, frozen=True):
    """One path."""

    text: str
    from_root: bool
    """Whether it begins at the payload itself, not at the record."""
    steps: tuple[Step, ...]

    def find(self, root: Any, record: Any) -> Any:
        """What is at its end; ``None`` when there is nothing, or a null."""
        return follow(root if self.from_root else record, self.steps)


class FieldText(Struct, frozen=True):
    """A text made of constants and of what stands at paths, by turns."""

    parts: tuple[str | FieldPath, ...]

    def find(self, root: Any, record: Any) -> str | None:
        """The text; ``None`` when one of its parts is not there. Raises `NotThere` for what is no name."""
        texts = []
        for part in self.parts:
            if isinstance(part, str):
                texts.append(part)
                continue
            found = part.find(root, record)
            if found is None:
                return None
            texts.append(name_of(found, part.text))
        return "".join(texts)

    def paths(self) -> Iterator[FieldPath]:
        """What it reads."""
        return (part for part in self.parts if not isinstance(part, str))


def parse_steps(text: str) -> tuple[Step, ...]:
    """The steps of a path: texts for names, numbers for places in an array. Raises `ValueError`."""
    steps: list[Step] = []
    at = 0
    while at < len(text):
        found = _STEP.match(text, at)
        # A name that follows a bracket has a dot before it; one at the very start has none.
        if found is None or (at and found[1] is not None and text[at] != "."):
            raise ValueError(ALLOWED)
        if at == 0 and text[0] == ".":
            raise ValueError(ALLOWED)
        name, place, quoted = found.groups()
        steps.append(int(place) if place is not None else quoted if quoted is not None else name)
        at = found.end()
    if not steps or len(steps) > DEPTH_LIMIT:
        raise ValueError(ALLOWED)
    return tuple(steps)


def parse_path(text: str, *, whole: bool = False) -> FieldPath:
    """One path; ``whole``: also one without steps, or ``$`` alone. Raises `ValueError`."""
    from_root = text.startswith("$.") or (whole and text == "$")
    rest = text.removeprefix("$").removeprefix(".") if from_root else text
    return FieldPath(text, from_root, () if whole and not rest else parse_steps(rest))


def parse_field(text: str) -> tuple[FieldPath, ...]:
    """The paths of a field of which the first that is there counts. Raises `ValueError`."""
    return tuple(parse_path(one.strip()) for one in _SEVERAL.split(text)) if text else ()


def parse_name(text: str) -> tuple[FieldText, ...]:
    """The forms of a name of which the first that is there counts. Raises `ValueError`."""
    return tuple(_form(one.strip()) for one in _SEVERAL.split(text)) if text else ()


def parse_text(text: str) -> FieldText:
    """A text with paths in braces. Raises `ValueError`."""
    parts: list[str | FieldPath] = []
    for n, part in enumerate(_IN_BRACES.split(text)):
        if n % 2:
            parts.append(parse_path(part))
        elif part:
            parts.append(part)
    return FieldText(tuple(parts))


def _form(text: str) -> FieldText:
    if text.startswith("="):
        return FieldText((text[1:],))
    return parse_text(text) if _IN_BRACES.search(text) else FieldText((parse_path(text),))


def inside(text: str) -> Any:
    """What a text holds that is JSON of an object or array; ``None`` for any other text."""
    if text[:1] not in ("{", "["):
        return None
    raw = text.encode("utf-8", "surrogatepass")
    try:
        return None if is_too_deep(raw) else msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def follow(start: Any, steps: tuple[Step, ...]) -> Any:
    """What is at the end of a path; ``None`` when there is nothing, or a null.

    A text on the way that holds JSON is what it holds.
    """
    found = start
    for step in steps:
        if isinstance(found, str):
            found = inside(found)
        if isinstance(step, str):
            if not isinstance(found, Mapping):
                return None
            found = found.get(step)
        else:
            if not isinstance(found, list) or not -len(found) <= step < len(found):
                return None
            found = found[step]
    return found


def name_of(found: Any, text: str) -> str:
    """A name; numbers are taken for names too, as many fleets number their devices."""
    if isinstance(found, str):
        return found
    if isinstance(found, int) and not isinstance(found, bool) and abs(found) < 1 << 64:
        return str(found)
    raise NotThere(f'what stands at "{printable(text, 100)}" is {kind_of(found)}, no name')


def kind_of(found: Any) -> str:
    """What a thing in a payload is, in words."""
    kinds = {dict: "an object", list: "an array", str: "a text", bool: "a truth value"}
    return kinds.get(type(found), "a number" if isinstance(found, int | float) else "something else")


def path_text(steps: tuple[Step, ...]) -> str:
    """A path as a person writes it."""
    text = ""
    for step in steps:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if _STEP.fullmatch(step) and step == step.rstrip() else f"['{step}']"
    return text.removeprefix(".")
