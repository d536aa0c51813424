"""Values of flags, checked: each converter's message is the sentence that a user sees."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable
from datetime import datetime


def whole(low: int, high: int) -> Callable[[str], int]:
    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {low} to {high}")
        return value

    return convert


def number(low: float, high: float) -> Callable[[str], float]:
    def convert(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {low:g} to {high:g}")
        return value

    return convert


def speed(text: str) -> float:
    if text == "max":
        return math.inf
    try:
        return number(0.001, 100_000.0)(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}, nor 'max'") from error


def moment(text: str) -> int:
    """Microseconds since the Unix epoch of an RFC 3339 time."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError
        return round(moment.timestamp() * 1_000) * 1_000
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a time with its zone, such as 2026-01-01T00:00:00Z"
        ) from None


def connections(text: str) -> int:
    """A number of connections; 0 for ``devices``: one each."""
    if text == "devices":
        return 0
    try:
        return whole(1, 10_000)(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}, nor 'devices'") from error


def moments(text: str) -> tuple[float, ...]:
    """Seconds after the start, commas between."""
    return tuple(number(0.0, 1e9)(part) for part in text.split(","))


def pair(text: str) -> tuple[str, str]:
    """``NAME=TEXT``."""
    name, mark, value = text.partition("=")
    if not name or not mark or len(text.encode()) > 1_000 or "\0" in text:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=TEXT of at most 1,000 bytes")
    return name, value


def topic_filter(text: str) -> str:
    """What a subscription may name (MQTT 5, 4.7.1)."""
    *before, last = levels = text.split("/")
    wrong = any("+" in level and level != "+" for level in levels) or ("#" in last and last != "#")
    if not text or wrong or any("#" in level for level in before) or "\0" in text or len(text) > 10_000:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no topic filter: + stands for one whole level, # for all that are left, at the end"
        )
    return text


def control_name(text: str) -> str:
    """A part of a topic."""
    if not re.fullmatch(r"[A-Za-z0-9._~@-]{1,64}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no name: 1 to 64 letters, digits and . _ ~ @ -")
    return text


def shard(text: str) -> tuple[int, int]:
    """``3/8``: which of how many parts."""
    number, slash, of = text.partition("/")
    if slash and number.isascii() and number.isdigit() and of.isascii() and of.isdigit():
        found = int(number), int(of)
        if 1 <= found[0] <= found[1] <= _SHARDS_MAX:
            return found
    raise argparse.ArgumentTypeError(
        f"{text!r} is no part of a fleet: 3/8 is the third of eight (64 at most)"
    )


_SHARDS_MAX = 64
