"""A table's columns, and how wide each is on a screen."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TypeVar

from msgspec import Struct

Piece = tuple[str, str]
"""A text and the name of its style (one of `STYLE_NAMES` without its ``table--``)."""


class TableField(Struct, frozen=True):
    """One column."""

    key: str
    title: str
    least: int
    """Cells it must have to be worth showing."""
    most: int
    rank: int = 0
    """Columns with the largest rank go first when there is little room, those of rank 0 last."""
    right: bool = False


F = TypeVar("F", bound=TableField)


def lay_out(
    width: int, fields: Sequence[F], *, in_turn: bool = False, first: Collection[str] = ()
) -> list[tuple[F, int]]:
    """The fields that fit in ``width`` cells with one blank between two, and their widths.

    What is left over goes to the one that has the least of what it wants, those whose keys are in ``first``
    before all others; with ``in_turn`` to the first that wants more, then to the next.
    """
    shown = list(fields)
    while len(shown) > 1 and sum(field.least + 1 for field in shown) - 1 > width:
        last = max(shown, key=lambda field: field.rank)
        shown.remove(last if last.rank else shown[-1])
    widths = [field.least for field in shown]
    left = width - sum(widths) - len(shown) + 1
    if in_turn:
        for index, field in enumerate(shown):
            more = max(min(field.most - field.least, left), 0)
            widths[index] += more
            left -= more
    while left > 0:
        growing = [index for index, field in enumerate(shown) if widths[index] < field.most]
        if not growing:
            break
        growing = [index for index in growing if shown[index].key in first] or growing
        widths[min(growing, key=lambda index: widths[index] / shown[index].most)] += 1
        left -= 1
    return list(zip(shown, widths, strict=True))
