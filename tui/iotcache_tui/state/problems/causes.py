"""Errors' sentences turned round: the cause first, then the address, as whatever cuts a line cuts its end."""

from __future__ import annotations

import re
from typing import Final

_SUBJECT: Final = re.compile(
    r"the (?:(?P<server>broker(?: \(over TLS\))?|PostgreSQL server) at (?P<address>\S+)"
    r"|(?P<file>store|file|folder of the store|disk of the store) (?P<path>\S+)) (?P<what>.+)",
    re.DOTALL,
)
_LOST: Final = re.compile(
    r"the connection to the (?P<server>broker) at (?P<address>\S+) was lost: (?P<why>.+)", re.DOTALL
)
_PHRASES: Final = ("cannot be reached: ", "refuses us: ", "is ")
"""What comes before the cause and says no more than that there is one."""


def cause_first(text: str) -> str:
    """``the broker at h:1 cannot be reached: connection refused`` as ``connection refused (h:1)``.

    Nothing that tells one case from another is left out; other texts stay as they are.
    """
    if lost := _LOST.fullmatch(text):
        return f"connection lost: {lost['why']} ({lost['address']})"
    found = _SUBJECT.fullmatch(text)
    if found is None:
        what, colon, why = text.partition(": ")
        return f"{why} ({what})" if colon and why and "cannot" in what else text
    why = found["what"]
    for phrase in _PHRASES:
        why = why.removeprefix(phrase)
    if path := found["path"]:
        kind = "" if found["file"] == "store" else f"{found['file']} "
        return f"{why} ({kind}{path})"
    kind = f"{found['server']} " if found["server"] != "broker" else ""
    return f"{why} ({kind}{found['address']})"
