"""PostgreSQL's errors as one plain sentence each, and whether waiting may mend them."""

from __future__ import annotations

from typing import Any, Final

from iotcache.errors import StoreEmpty, StoreError
from iotcache.text import printable

# https://www.postgresql.org/docs/current/errcodes-appendix.html: a mistake that waiting does not mend.
_MISTAKES: Final = {
    "28P01": "refuses the password",
    "28000": "refuses the user",
    "3D000": "has no such database",
    "42501": "does not let this user do that",
    "0LP01": "does not let this user do that",
}
_NO_TABLES: Final = ("42P01", "3F000")
"""undefined_table, invalid_schema_name."""
_OUTAGES: Final = {
    "53100": "has a full disk",
    "53300": "has no connection left",
    "57P01": "is being shut down",
    "57P02": "has crashed",
    "57P03": "is starting up or going down",
    "25006": "is read-only just now",
    "40P01": "ended a deadlock",
    "55P03": "keeps rows locked",
    "57014": "gave no answer in time",
}
_RETRYABLE_CLASSES: Final = ("08", "53", "57", "58", "40")
"""Connection, resources, operator's intervention, system, rollback."""


def address(settings: dict[str, Any]) -> str:
    """Host, port and database, without a password."""
    host = settings.get("host") or "localhost"
    return printable(f"{host}:{settings.get('port') or 5432}/{settings.get('dbname') or ''}", 120)


def explained(error: BaseException, settings: dict[str, Any]) -> StoreError:
    """An error of psycopg or of the network as one sentence, without a password."""
    where = f"the PostgreSQL server at {address(settings)}"
    if isinstance(error, TimeoutError):
        return StoreError(f"{where} does not answer")
    code = getattr(error, "sqlstate", None) or ""
    if code in _NO_TABLES:
        return StoreEmpty(f"{where} has no tables of ours yet", retryable=False)
    if code in _MISTAKES:
        return StoreError(f"{where} {_MISTAKES[code]}", retryable=False)
    if code in _OUTAGES:
        return StoreError(f"{where} {_OUTAGES[code]}")
    text = str(error)
    if not code:  # libpq itself failed, mostly to connect: it gives no code, only text
        if "authentication failed" in text or "no password supplied" in text:
            return StoreError(f"{where} refuses the user or the password", retryable=False)
        if "does not exist" in text:
            return StoreError(f"{where} has no such database or user", retryable=False)
        for known in ("Connection refused", "timeout expired", "No route to host", "starting up"):
            if known in text:
                return StoreError(f"{where} cannot be reached: {known.lower()}")
        return StoreError(f"{where} cannot be reached: {_first_line(text)}")
    return StoreError(f"{where} failed: {_first_line(text)}", retryable=code[:2] in _RETRYABLE_CLASSES)


def _first_line(text: str) -> str:
    """What libpq says in the end: ``connection to server at "h", port 1 failed: FATAL:  why`` is its form."""
    line = text.strip().splitlines()[0] if text.strip() else "no reason given"
    why = line.rpartition("failed: ")[2].removeprefix("FATAL:").strip()
    return printable(why or line, 160)
