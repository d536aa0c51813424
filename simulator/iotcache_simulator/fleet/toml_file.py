"""TOML files that people write, read into typed structs; a mistake is named with its line and key."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import msgspec.inspect
import tomli

from iotcache.errors import ConfigError
from iotcache_simulator.fleet.toml_lines import line_of

T = TypeVar("T")


def read_file(path: str, what: str) -> str:
    """A file's text. Raises `ConfigError` with one sentence."""
    try:
        return Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"the {what} file {path!r} cannot be read: {reason}") from error


def read(text: str, file: str, into: type[T], kinds: Iterable[str] = ()) -> T:
    """What a TOML text describes; ``kinds`` are the allowed values of a key named ``kind``.

    Raises `ConfigError` naming ``file``, line and key.
    """
    try:
        content = tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        raise ConfigError(f"{file} is not valid TOML: {_syntax(str(error))}") from error
    for path, number in _not_finite(content, ()):
        raise complaint(file, text, f"{number} cannot be used: it must be a finite number", path)
    try:
        return msgspec.convert(content, into)
    except msgspec.ValidationError as error:
        raise complaint(file, text, *_reason_and_path(error, content, kinds, into)) from error


def _syntax(text: str) -> str:
    """tomli's words where they are those of a programmer."""
    text = text.replace("Cannot overwrite a value", "a key stands there for the second time")
    return re.sub(r"Cannot declare \(.*\) twice", "a table stands there for the second time", text)


def complaint(file: str, text: str, reason: str, path: tuple[str | int, ...]) -> ConfigError:
    return ConfigError(f"{file}, line {line_of(text, path)}: {_with_key(reason, path)}")


def describe_error(error: msgspec.ValidationError, content: Any, into: Any, kinds: Iterable[str]) -> str:
    """What is wrong with ``content``, which is no ``into``: the key and the reason."""
    return _with_key(*_reason_and_path(error, content, kinds, into))


def _with_key(reason: str, path: tuple[str | int, ...]) -> str:
    where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")
    return f"{where + ': ' if where else ''}{reason}"


_PATH = re.compile(r"\.([A-Za-z_][\w-]*)|\[(\d+)\]|\[\.\.\.\]")


def _reason_and_path(
    error: msgspec.ValidationError, content: Any, kinds: Iterable[str], into: Any
) -> tuple[str, tuple[str | int, ...]]:
    """msgspec's words in ours, and the path, extended to the key that it only names in its text."""
    text, _, where = str(error).partition(" - at `$")
    path: list[str | int] = [
        int(index) if index else name for name, index in _PATH.findall(where.rstrip("`")) if name or index
    ]
    if (unknown := re.search(r"unknown field `(.+)`", text)) is not None:
        text = f"there is no such key here{_nearest(unknown[1], _keys(into, content, path))}"
        path.append(unknown[1])
    elif (missing := re.search(r"missing required field `(.+)`", text)) is not None:
        text = f"the key {missing[1]!r} is missing"
    elif (other := _OTHER.match(text)) is not None and path and path[-1] in ("kind", "act"):
        text = f"there is no {path[-1]} {other[1]}: it may be {', '.join(sorted(kinds))}"
    else:
        if "nvalid enum value" in text and (allowed := _allowed(into, content, path)):
            text = f"it is one of {', '.join(allowed)}"
        elif (kind := _EXPECTED.fullmatch(text)) is not None:
            text = f"it must be {_words(kind[1])}, and is {_words(kind[2])}"
        elif (bound := _BOUND.fullmatch(text)) is not None:
            text = f"it must be {_words(bound[1])} {_SIDES[bound[2]]} {float(bound[3]):.12g}"
        elif (length := _LENGTH.fullmatch(text)) is not None:
            text = _too_long_or_short(*length.groups())
        elif "matching regex" in text:
            text = "it must be 1 to 63 letters, digits and . _ -, a letter or digit first"
        else:
            text = text[:1].lower() + text[1:]
        value: Any = content
        try:
            for step in path:
                value = value[step]
            if not isinstance(value, dict | list):
                text = f"{value!r} cannot be used: {text}"
        except (KeyError, IndexError, TypeError):
            pass
    return text, tuple(path)


_OTHER = re.compile(r"Invalid value ('.*')$")
_BOUND = re.compile(r"Expected `(int|float)` ([<>]=?) (\S+)")
_SIDES = {">=": "of at least", ">": "above", "<=": "of at most", "<": "below"}
_LENGTH = re.compile(r"Expected `(array|str)` of length ([<>]=?) (\d+)")
_EXPECTED = re.compile(r"Expected `([\w| ]+)`, got `(\w+)`")
_WORDS = {
    "int": "a whole number", "float": "a number", "str": "a text", "bool": "true or false", "array": "a list",
    "object": "a table", "null": "nothing",
}  # fmt: skip


def _words(kinds: str) -> str:
    return " or ".join(_WORDS.get(kind, kind) for kind in kinds.split(" | "))


def _too_long_or_short(kind: str, side: str, limit: str) -> str:
    if side == ">=" and limit == "1":
        return "it must not be empty"
    what = "entries" if kind == "array" else "characters"
    return f"it must hold {'at least' if side == '>=' else 'at most'} {limit} {what}"


def _nearest(name: str, known: list[str]) -> str:
    """What may have been meant, or all that there is."""
    close = difflib.get_close_matches(name, known, 1)
    if close:
        return f"; did you mean {close[0]}?"
    return f": there are {', '.join(known)}" if known else ""


def _keys(into: Any, content: Any, path: Iterable[str | int]) -> list[str]:
    """The keys that the table at ``path`` may have."""
    infos, value = _at(into, content, path)
    return [
        field.encode_name for info in infos if _is_meant(info, value) for field in getattr(info, "fields", ())
    ]


def _allowed(into: Any, content: Any, path: Iterable[str | int]) -> list[str]:
    """The texts that a choice may be; empty where ``path`` does not lead to one."""
    texts: list[str] = []
    for info in _at(into, content, path)[0]:
        if isinstance(info, msgspec.inspect.LiteralType):
            texts += map(str, info.values)
        elif isinstance(info, msgspec.inspect.EnumType):
            texts += [str(one.value) for one in info.cls]
    return texts


def _at(into: Any, content: Any, path: Iterable[str | int]) -> tuple[list[Any], Any]:
    """The types that may stand at ``path``, and what does."""
    infos = [msgspec.inspect.type_info(into)]
    value = content
    for step in path:
        if isinstance(step, int):
            infos = [info.item_type for info in infos if hasattr(info, "item_type")]
        else:
            infos = [
                field.type
                for info in infos
                if _is_meant(info, value)
                for field in getattr(info, "fields", ())
                if step in (field.name, field.encode_name)
            ]
        infos = [one for info in infos for one in getattr(info, "types", (info,))]
        value = value[step]
    return infos, value


def _is_meant(info: Any, value: Any) -> bool:
    """Of several kinds of table, whether it is the one that ``value`` says it is."""
    tag = getattr(info, "tag", None)
    return tag is None or (isinstance(value, dict) and value.get(info.tag_field) == tag)


def _not_finite(content: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], float]]:
    """Every ``inf`` and ``nan``, which TOML allows and no sensor has a use for."""
    if isinstance(content, float) and not math.isfinite(content):
        yield path, content
    elif isinstance(content, dict):
        for name, value in content.items():
            yield from _not_finite(value, (*path, name))
    elif isinstance(content, list):
        for at, value in enumerate(content):
            yield from _not_finite(value, (*path, at))
