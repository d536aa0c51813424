"""What is on the screen as a file: the table as CSV or JSON, the screen as SVG or text."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from iotcache.errors import UsageError
from iotcache.private_files import private_opener
from iotcache.text import printable

Rows = tuple[Sequence[str], Sequence[Sequence[object]]]
"""Titles, and a row of plain values each."""
TRIES = 100


_FORMULA = frozenset("=+-@\t\r\n＝＋－＠")


def spreadsheet_text(text: str, limit: int) -> str:
    """A text for a cell: printable, and with a quote before it where a spreadsheet would see a formula.

    What a device calls itself is a stranger's text: ``=HYPERLINK(…)`` must stay text. Source: OWASP, CSV
    Injection.
    """
    shown = printable(text, limit)
    return f"'{shown}" if shown.lstrip()[:1] in _FORMULA else shown


def as_csv(rows: Rows) -> str:
    """RFC 4180. A text that a spreadsheet would take for a formula gets a quote before it."""
    titles, lines = rows
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(titles)
    writer.writerows([[_safe(value) for value in line] for line in lines])
    return out.getvalue()


def as_json(rows: Rows) -> str:
    """An array with an object a row."""
    titles, lines = rows
    data = [dict(zip(titles, line, strict=True)) for line in lines]
    return msgspec.json.format(msgspec.json.encode(data)).decode() + "\n"


def _safe(value: object) -> object:
    if isinstance(value, str):
        return spreadsheet_text(value, 2_000)
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else value


def file_name(name: str, ending: str, wall_s: float) -> str:
    """Named after the screen and the moment."""
    return f"iotcache-{name}-{time.strftime('%Y%m%d-%H%M%S', time.localtime(wall_s))}.{ending}"


def write_new(folder: Path, name: str, ending: str, text: str, wall_s: float) -> Path:
    """Write a file that was not there before, named after the screen and the moment. Raises `UsageError`."""
    first = folder / file_name(name, ending, wall_s)
    for number in range(TRIES):
        path = first.with_stem(f"{first.stem}-{number + 1}") if number else first
        try:
            with open(path, "x", encoding="utf-8", newline="", opener=private_opener) as file:
                file.write(text)
        except FileExistsError:
            continue
        except OSError as error:
            raise UsageError(f"{printable(str(path))} cannot be written: {error.strerror}") from error
        return path
    raise UsageError(f"{printable(str(folder))} has too many exports of this second")
