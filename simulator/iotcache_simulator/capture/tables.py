"""Tables of measurements (CSV) as messages: a time, and a column for each sensor.

That is the form of the Numenta Anomaly Benchmark (``timestamp,value``), whose ``combined_windows.json`` or
``combined_labels.json`` say which times are anomalies. Tables that ``simulate -o FILE.csv`` wrote have a
reading a row, with its device and sensor.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from hashlib import blake2b
from heapq import merge
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from iotcache.clock import utc_text
from iotcache.errors import UsageError
from iotcache.text import printable
from iotcache_simulator.capture.recording import Recorded

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9_.-]+")
_OWN: Final = ("device", "sensor", "value")
Window = tuple[int, int]
"""Begin and end of an anomaly, µs since the Unix epoch; both belong to it."""


class TableCell(NamedTuple):
    """One cell of a table. Sorted by the first field."""

    at_s: float
    """Since the first row of its file."""
    file: str
    """Its path, in full."""
    site: str
    device: str
    sensor: str
    value: float | bool | str
    unit: str
    ts_us: int
    seq: int
    boot: str

    def message(self) -> Recorded:
        """As a fleet of ours would publish it."""
        payload = msgspec.json.encode(
            {
                "device": self.device, "sensor": self.sensor, "value": self.value, "unit": self.unit,
                "ts": utc_text(self.ts_us), "seq": self.seq, "boot": self.boot,
            }
        )  # fmt: skip
        topic = f"iot/{self.site}/{self.device}/{self.sensor}"
        return Recorded(self.at_s, topic, 1, payload=payload.decode())


def measurements(path: Path, zone: tzinfo) -> Iterator[TableCell]:
    """Those of one file, or of all ``.csv`` files below a folder, which then begin together.

    ``zone``: of times without one. Raises `UsageError` naming the file and line that are wrong.
    """
    if not path.is_dir():
        return _of_file(path, path.name, zone)
    files = sorted(path.rglob("*.csv"))
    if not files:
        raise UsageError(f"{path}: there is no .csv file below it")
    return merge(*(_of_file(file, file.relative_to(path).as_posix(), zone) for file in files))


def _of_file(file: Path, key: str, zone: tzinfo) -> Iterator[TableCell]:
    boot = blake2b(key.encode(), digest_size=4).hexdigest()
    try:
        yield from _rows(file, zone, boot)
    except (csv.Error, UnicodeDecodeError) as error:
        raise UsageError(f"{file} is no table: {error}") from error


def _rows(file: Path, zone: tzinfo, boot: str) -> Iterator[TableCell]:
    path = file.absolute().as_posix()
    with file.open(encoding="utf-8", newline="") as lines:
        rows = csv.reader(lines)
        head = [name.strip() for name in next(rows, [])]
        if len(head) < 2:
            raise UsageError(f"{file}: a table begins with the names of its columns, a time first")
        own = set(_OWN) <= set(head)
        names = [_name(name) for name in head]
        first_us: int | None = None
        at_s = 0.0
        for number, row in enumerate(rows, 2):
            if not row:
                continue
            if len(row) != len(head):
                raise UsageError(
                    f"{file}, line {number}: {len(row)} columns, and the first line has {len(head)}"
                )
            ts_us = _time(row[0], zone, f"{file}, line {number}")
            first_us = ts_us if first_us is None else first_us
            at_s = max(at_s, (ts_us - first_us) / 1e6)
            if own:
                cells = dict(zip(head, row, strict=True))
                yield TableCell(
                    at_s, path, _name(cells.get("site") or file.parent.name), _name(cells["device"]),
                    _name(cells["sensor"]), _value(cells["value"]), cells.get("unit", ""), ts_us,
                    int(cells["seq"]) if cells.get("seq", "").isdecimal() else number - 1,
                    cells.get("boot") or boot,
                )  # fmt: skip
                continue
            site, device = _name(file.absolute().parent.name), _name(file.stem)
            for name, text in zip(names[1:], row[1:], strict=True):
                if text.strip():
                    yield TableCell(at_s, path, site, device, name, _value(text), "", ts_us, number - 1, boot)


def _name(text: str) -> str:
    """What may stand in a topic level."""
    return _NOT_IN_NAMES.sub("-", text.strip()).strip("-")[:63] or "x"


def _value(text: str) -> float | bool | str:
    text = text.strip()
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        number = float(text)
    except ValueError:
        return text[:1_000]
    if not math.isfinite(number):
        return text
    return int(number) if number.is_integer() and text.lstrip("-").isdecimal() else number


def _time(text: str, zone: tzinfo, where: str) -> int:
    text = text.strip()
    try:
        number = float(text)
    except ValueError:
        pass
    else:
        return round(number * (1e6 if abs(number) < 1e11 else 1e3))  # seconds, or milliseconds
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{where}: {printable(text, 40)!r} is no time") from None
    return ((moment if moment.tzinfo else moment.replace(tzinfo=zone)) - _EPOCH) // _MICROSECOND


def anomalies(text: bytes, zone: tzinfo, name: str) -> dict[str, list[Window]]:
    """The windows of anomalies by file, from the benchmark's JSON. Raises `UsageError`."""
    form = dict[str, list[list[str] | str]]
    try:
        content: Mapping[str, Sequence[list[str] | str]] = msgspec.json.decode(text, type=form)
    except msgspec.MsgspecError as error:
        raise UsageError(f"{name}: it holds no windows of anomalies by file: {error}") from error
    return {
        file: [
            (_time(ends[0], zone, name), _time(ends[-1], zone, name))
            for ends in ([one] if isinstance(one, str) else one for one in windows)
            if ends
        ]
        for file, windows in content.items()
    }


def label_lines(found: Iterator[TableCell], windows: Mapping[str, Sequence[Window]]) -> Iterator[bytes]:
    """A JSON line for each measurement within a window of its file, as ``--labels`` has them."""
    of_files: dict[str, list[Window]] = {}
    for one in found:
        of_file = of_files.get(one.file)
        if of_file is None:
            of_file = of_files[one.file] = _of(one.file, windows)
        if any(begin <= one.ts_us <= end for begin, end in of_file):
            yield msgspec.json.encode(
                {
                    "faults": ["anomaly"], "device": one.device, "sensor": one.sensor, "seq": one.seq,
                    "boot": one.boot, "ts": utc_text(one.ts_us), "truth": None, "reported": one.value,
                }
            ) + b"\n"  # fmt: skip


def _of(file: str, windows: Mapping[str, Sequence[Window]]) -> list[Window]:
    """The windows of a file: its labels may name it without its folders, or it may lie in another one."""
    found = [key for key in windows if file.endswith(f"/{key}")]
    if not found:
        by_name = [key for key in windows if key.rpartition("/")[2] == file.rpartition("/")[2]]
        found = by_name if len(by_name) == 1 else []
    return list(windows[max(found, key=len)]) if found else []
