"""Why a payload could not be read, as a sentence that a person can act on.

The decoder's library speaks of types and paths ("Expected `str | null`, got `int` - at `$[1].unit`"): that is
right, and of little use to whoever has a device to mend.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from iotcache.text import printable_bytes

_SHOWN: Final = 24
"""Characters shown of a payload from the place on where it stops being JSON."""
_NUMBERS: Final = "a number"
_GOT: Final = {
    "str": "a text", "int": _NUMBERS, "float": _NUMBERS, "bool": "a truth value", "null": "null",
    "array": "an array", "object": "an object", "bytes": "binary data", "datetime": "a time",
}  # fmt: skip
_WANTED: Final = {
    "str": "a text", "int": "a whole number", "int | float": _NUMBERS, "bool": "true or false",
    "int | str": "a text or a whole number", "bool | int | float | str": "a number, a truth value or a text",
    "int | float | datetime": "a time", "object": 'an object with a "value"',
}  # fmt: skip
_FORMS_OF_TIME: Final = (
    "an RFC 3339 text with a time zone, as 2024-06-18T15:00:00Z, "
    "or a number of seconds or milliseconds since 1970"
)
_AT: Final = re.compile(r"(.*?)(?: - at `\$(?:\[(\d+)\])?(?:\.?([^`]*))?`)?", re.DOTALL)
_BYTE: Final = re.compile(r"(.*) \(byte (\d+)\)")

_Sentence = Callable[[re.Match[str], str], str]
_SENTENCES: Final[list[tuple[re.Pattern[str], _Sentence]]] = [
    (re.compile(pattern), sentence)
    for pattern, sentence in (
        (r"Object missing required field `(.+)`", lambda found, what: f'{what} has no "{found[1]}"'),
        (
            r"Expected `array` of length <= (\d+)",
            lambda found, what: (
                f"{what} holds more than {int(found[1]):,} readings: send them in several messages"
            ),
        ),
        (
            r"Expected `str` of length <= (\d+)",
            lambda found, what: f"{what} is longer than {int(found[1]):,} characters",
        ),
        (r"Expected `str` of length >= 1", lambda _, what: f"{what} is empty: name it, or leave it out"),
        (r"Expected `int` >= 0", lambda _, what: f"{what} is below zero, and counts up from there"),
        (r"Expected `int` <= (\d+)", lambda found, what: f"{what} is above {int(found[1]):,}"),
        (r"(?:Number|Integer value) out of range", lambda _, what: f"{what} is out of range for a number"),
        (r"Invalid RFC3339 encoded datetime", lambda _, what: f"{what} is not {_FORMS_OF_TIME}"),
        (
            r"Expected `datetime` with a timezone component",
            lambda _, what: f"{what} has no time zone: end it with Z or an offset such as +02:00",
        ),
        (
            r"Expected `(.+?)(?: \| null)?`, got `(.+)`",
            lambda found, what: _of_type(what, found[1], found[2]),
        ),
    )
]
_JSON: Final = {
    "trailing characters": "something follows its end; a message holds one reading, or one array of them",
    "object keys must be strings": 'a name in an object is not in double quotes ("value")',
    "trailing comma in object": "a comma stands before the closing }",
    "trailing comma in array": "a comma stands before the closing ]",
    "invalid escape character in string": "a text has a backslash before a character that needs none",
}
_BYTE_AFTER: Final = ("trailing characters", "invalid escape character in string")
"""What is told with the byte after the one that is wrong."""


def explain_malformed(payload: bytes, error: Exception) -> str:
    """What is wrong with a payload that msgspec refused with this error."""
    if isinstance(error, RecursionError):
        return "the JSON is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return f"the payload is not valid UTF-8: {error.reason}"
    text = str(error)
    if "malformed" in text or "truncated" in text:
        return _no_json(payload, text)
    found = _AT.fullmatch(text)
    assert found is not None  # it matches any text
    said, number, field = found.groups()
    # A payload that is no array has one reading, also where its form is read as an array of one.
    in_array = number is not None and (
        number != "0" or payload.lstrip()[:1] == b"[" or b"\x80" <= payload[:1] < b"\xa0"
    )
    one = f"reading no. {int(number) + 1}" if in_array and number is not None else "the payload"
    what = f'"{field}"' if field else one
    if field and in_array:
        what = f"{what} of {one}"
    for pattern, sentence in _SENTENCES:
        match = pattern.fullmatch(said)
        if match is not None:
            return sentence(match, what)
    return f"the payload is not a reading: {text}"


def _of_type(what: str, wanted: str, got: str) -> str:
    """That a field is of the wrong type."""
    if "datetime" in wanted:
        return f"{what} is not {_FORMS_OF_TIME}"
    if (wanted, got) == ("int", "float"):
        return f"{what} is not a whole number"
    return f"{what} is {_GOT.get(got, f'of type {got}')}, and must be {_WANTED.get(wanted, wanted)}"


def _no_json(payload: bytes, text: str) -> str:
    for word in (b"NaN", b"Infinity"):
        if word in payload:
            return f"the payload holds {word.decode()}, which is neither JSON nor a measurement"
    if not payload.strip():
        return "the payload is empty"
    if "truncated" in text:
        return "the payload is not JSON: it ends too early"
    text = text.removeprefix("JSON is malformed: ")
    found = _BYTE.fullmatch(text)
    if found is None:
        return f"the payload is not JSON: {text}"
    why, byte = _JSON.get(found[1], found[1]), int(found[2])
    # White space before the JSON is not always counted.
    rest = payload[byte:] if payload[:1] in (b"{", b"[") and found[1] not in _BYTE_AFTER else b""
    near = f": {printable_bytes(rest, _SHOWN)}" if rest else ""
    return f"the payload is not JSON: {why}, at byte {byte:,}{near}"
