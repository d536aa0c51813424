"""Whether the store can be opened and written, without making or changing anything in it."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from pathlib import Path

from iotcache.config.parts import NONE
from iotcache.config.schema import Settings, StoreSettings
from iotcache.config.urls import mask, parse_store
from iotcache.errors import StoreError
from iotcache.store import open_store
from iotcache.text import plural
from iotcache_tui.checks.base import Finding

_NO_TABLES = frozenset({"42P01", "3F000"})
"""PostgreSQL's codes for undefined_table and invalid_schema_name (its manual, appendix A)."""


async def check_store(settings: Settings) -> list[Finding]:
    """One finding for a store of its own; none where there is none, or for an embedded one, which lives only
    while a stack runs."""
    store = settings.store
    if store.url in ("embedded", NONE):
        return []
    path = parse_store(store.url).path
    if path is None:
        return [await _postgres(store)]
    finding = await asyncio.to_thread(_folder, path)
    return [finding or await _sqlite(store, path)]


def _folder(path: Path) -> Finding | None:
    """What the file system says of a SQLite file; ``None`` when the file is there and may be written."""
    folder = path.absolute().parent
    if not folder.is_dir():
        return Finding("store", "fail", f"{path}: its folder does not exist", f"mkdir -p {folder}")
    # SQLite keeps its log and its locks beside the file: the file's own permission is not enough.
    if not os.access(folder, os.W_OK | os.X_OK):
        return Finding(
            "store",
            "fail",
            f"{folder} may not be written",
            "let this user write the folder, or mend store.url",
        )
    if path.is_dir():
        return Finding("store", "fail", f"{path} is a folder", "name a file in store.url")
    if not path.exists():
        return Finding("store", "ok", f"{path} is not there yet; the first ingest worker makes it")
    if not os.access(path, os.R_OK | os.W_OK):
        return Finding("store", "fail", f"{path} may not be written", "let this user write the file")
    return None


async def _sqlite(store: StoreSettings, path: Path) -> Finding:
    try:
        what = await _counted(store)
        mode = await asyncio.to_thread(_journal_mode, path)
    except (StoreError, sqlite3.Error) as error:
        return Finding("store", "fail", f"{path}: {error}", "move the file away, or mend store.url")
    if mode != "wal":
        return Finding(
            "store", "warn", f"{path}: {what}; its journal is {mode}, so readers and the writer wait in turn",
            "an ingest worker turns WAL on, where the file system can share memory (NFS cannot)",
        )  # fmt: skip
    return Finding("store", "ok", f"{path}: {what}; SQLite {sqlite3.sqlite_version}, WAL")


async def _postgres(store: StoreSettings) -> Finding:
    shown = mask(store.url)
    try:
        return Finding("store", "ok", f"{shown}: {await _counted(store)}")
    except StoreError as error:
        if getattr(error.__cause__, "sqlstate", None) in _NO_TABLES:
            found = f"{shown} answers; our tables are not there yet, the first ingest worker makes them"
            return Finding("store", "ok", found)
        return Finding("store", "fail", str(error), "start it, or mend store.url and store.password")


async def _counted(store: StoreSettings) -> str:
    async with open_store(store, read_only=True) as opened:
        counts = await opened.counts()
    return f"{plural(counts.readings, 'reading')} of {plural(counts.series, 'sensor')}"


def _journal_mode(path: Path) -> str:
    with sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1.0) as database:
        (mode,) = database.execute("PRAGMA journal_mode").fetchone()
    database.close()
    return str(mode)
