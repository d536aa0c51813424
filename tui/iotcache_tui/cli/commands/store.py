"""The durable store: its figures, thinning it out, and taking readings out of it."""

from __future__ import annotations

import argparse
import asyncio
import csv
import re
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from iotcache.clock import utc_text
from iotcache.errors import UsageError
from iotcache.private_files import private_opener
from iotcache.text import plural, printable
from iotcache_tui.export import spreadsheet_text

if TYPE_CHECKING:
    from iotcache.config.schema import Settings
    from iotcache.model import Series
    from iotcache.store.base import Store

_DAYS = re.compile(r"(\d+(?:\.\d+)?)d?")
FIELDS = ("device", "sensor", "site", "ts", "value", "unit", "seq", "boot")
PAGE = 5_000
_NOW_MOST_US = 1 << 61
_OTHER_KINDS = (".parquet", ".pq", ".feather", ".arrow", ".xlsx", ".json", ".jsonl", ".gz", ".zip")
"""Names of files that a table of readings could be in, and would not."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what", metavar="ACTION", choices=("stats", "prune", "export"), help="stats, prune or export"
    )
    parser.add_argument("--json", action="store_true", help="stats: JSON")
    parser.add_argument(
        "--older-than", metavar="DAYS", help="prune: older than so many days (default: store.retention_days)"
    )
    parser.add_argument("--device", help="export: only this device")
    parser.add_argument("--sensor", help="export: only this sensor")
    parser.add_argument(
        "--since", metavar="TIME", help="export: from then on, for instance 2026-11-01T00:00:00Z"
    )
    parser.add_argument("--until", metavar="TIME", help="export: before then")
    parser.add_argument(
        "--out", metavar="FILE", default="-", help="export: CSV file (default -: standard output)"
    )


def run(args: argparse.Namespace) -> int:
    from iotcache_tui.cli.options import load_settings
    from iotcache_tui.cli.running_stack import reached

    settings = load_settings(args).settings
    keep_days = settings.store.retention_days
    if args.older_than is not None:
        match = _DAYS.fullmatch(args.older_than)
        if match is None or not float(match[1]):
            raise UsageError(
                f"--older-than '{printable(args.older_than, 20)}' is no number of days above 0: write 30d"
            )
        keep_days = float(match[1])
    since_us, until_us = _moment("--since", args.since, 0), _moment("--until", args.until, _NOW_MOST_US)
    if since_us >= until_us:
        raise UsageError("--since must be before --until")
    kind = Path(args.out).suffix.lower()
    if kind in _OTHER_KINDS:
        raise UsageError(
            f"--out {printable(args.out)} would be no {kind} file: what is exported is CSV, which DuckDB, "
            "Polars and pandas read in one line"
        )
    settings = reached(settings)
    if args.what == "stats":
        return asyncio.run(_stats(settings, as_json=args.json))
    if args.what == "prune":
        if keep_days <= 0:
            raise UsageError("store.retention_days is 0, which keeps all: name --older-than DAYS")
        return asyncio.run(_prune(settings, keep_days))
    return asyncio.run(_export(args, settings, since_us, until_us))


def _moment(flag: str, text: str | None, default: int) -> int:
    if text is None:
        return default
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{flag} '{printable(text, 40)}' is no time: write 2026-11-01 or 2026-11-01T12:00:00Z"
        ) from None
    return round(when.timestamp() * 1e6)


async def _stats(settings: Settings, *, as_json: bool) -> int:
    from iotcache.store import open_store

    async with open_store(settings.store, read_only=True) as store:
        counts = await store.counts()
        data = {
            "url": store.url, "readings": counts.readings, "series": counts.series,
            "dead_letters": counts.dead_letters, "bytes": counts.size_bytes,
            "bytes_per_reading": round(counts.size_bytes / counts.readings, 1) if counts.readings else None,
        }  # fmt: skip
    if as_json:
        import msgspec

        print(msgspec.json.encode(data).decode())
    else:
        for name, value in data.items():
            shown = (
                f"{value:,}"
                if isinstance(value, int | float)
                else printable(str(value))
                if value is not None
                else "–"
            )
            print(f"{name.replace('_', ' '):18} {shown}")
    return 0


async def _prune(settings: Settings, keep_days: float) -> int:
    """In steps of their own transactions: Ctrl-C between two leaves a sound store."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from iotcache.store import open_store
    from iotcache.store.retention import STEP_ROWS

    before_us = round((time.time() - keep_days * 86_400) * 1e6)
    gone = 0
    async with open_store(settings.store) as store:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        from rich.console import Console

        with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
            task = progress.add_task("looking for old readings")
            try:
                while step := await store.prune(before_us, STEP_ROWS):
                    gone += step
                    progress.update(task, description=f"{plural(gone, 'row')} deleted")
            except asyncio.CancelledError:
                print(f"stopped: {plural(gone, 'row')} deleted so far", file=sys.stderr)
                raise
    print(f"{plural(gone, 'row')} older than {keep_days:g} d deleted")
    return 0


async def _export(args: argparse.Namespace, settings: Settings, since_us: int, until_us: int) -> int:
    from iotcache.store import open_store

    async with open_store(settings.store, read_only=True) as store:
        if args.out == "-":
            rows = await _write(sys.stdout, store, args, since_us, until_us)
        else:
            try:
                with open(args.out, "x", encoding="utf-8", newline="", opener=private_opener) as file:  # noqa: ASYNC230 (a line at a time)
                    rows = await _write(file, store, args, since_us, until_us)
            except FileExistsError:
                raise UsageError(
                    f"--out {printable(args.out)} is there already: nothing is overwritten"
                ) from None
            except OSError as error:
                raise UsageError(f"--out {printable(args.out)}: {error.strerror}") from error
    print(f"{rows:,} reading{'' if rows == 1 else 's'}", file=sys.stderr)
    return 0


async def _write(out: TextIO, store: Store, args: argparse.Namespace, since_us: int, until_us: int) -> int:
    """A page of one series at a time: memory does not grow with the store."""
    writer = csv.writer(out)
    writer.writerow(FIELDS)
    rows = above = 0
    while page := await store.directory(above):
        above = page[-1].order
        for info in page:
            if args.device not in (None, info.series.device) or args.sensor not in (None, info.series.sensor):
                continue
            rows += await _series(writer, store, info.series, since_us, until_us)
    return rows


async def _series(writer: object, store: Store, series: Series, since_us: int, until_us: int) -> int:
    """Pages come newest first, as the store gives them; within one page by time."""
    rows = 0
    while page := await store.history(series, since_us, until_us, PAGE):
        for reading in page:
            texts = (reading.device, reading.sensor, reading.site)
            writer.writerow(  # type: ignore[attr-defined]
                (
                    *(spreadsheet_text(text, 300) for text in texts), utc_text(reading.ts_us),
                    _plain(reading.value), spreadsheet_text(reading.unit, 100),
                    "" if reading.seq is None else reading.seq, spreadsheet_text(reading.boot, 100),
                )
            )  # fmt: skip
        rows += len(page)
        if len(page) < PAGE:
            break
        until_us = page[0].ts_us
    return rows


def _plain(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return spreadsheet_text(value, 2_000)
    return value
