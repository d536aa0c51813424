"""What a Tab was answered from the last time, so that the next one need not load the settings.

Holds in one folder and environment, as long as the files that it came from are as they were. It loads nothing
that takes long: a shell waits.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from typing import Any, Final

from iotcache_tui.cli.shell_names import NAMES_MOST, safe_names

STORED: Final = {"devices": "device", "sensors": "sensor"}
"""Kinds of names that are read from the store each time, and the column that has them."""
REMEMBERED: Final = (*STORED, "nodes", "contexts")
"""What is remembered; keys are not, which take the rules of their making to tell."""
_OURS: Final = ("IOTCACHE_", "XDG_", "HOME")
"""How variables begin that say where settings are, or are some."""
_BUSY_S: Final = 0.5
_NAMES: Final = "SELECT DISTINCT {} FROM series JOIN latest ON series_id = id LIMIT ?"


def recall(kind: str, environ: Mapping[str, str] = os.environ) -> list[str] | None:
    """The names, if what they came from is unchanged; ``None`` where they are to be found anew."""
    if kind not in REMEMBERED:
        return None
    try:
        with open(_file(kind, environ), encoding="utf-8") as file:  # noqa: PTH123 (pathlib takes as long as all this)
            memory: dict[str, Any] = json.load(file)
        if memory["place"] != _place(environ) or memory["files"] != _seen(memory["files"]):
            return None
        return list(memory["names"]) if memory["store"] is None else _stored(kind, memory["store"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remember(
    kind: str,
    files: Iterable[str],
    *,
    names: Iterable[str] = (),
    store: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Keep ``names``, or the SQLite file that they are read from. ``files``: where that was learnt, and may
    change; also those that are missing. What cannot be kept is not."""
    path = _file(kind, environ)
    memory = {"place": _place(environ), "files": _seen(files), "names": list(names), "store": store}
    draft = f"{path}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)  # noqa: PTH103, PTH120
        with open(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:  # noqa: PTH123
            json.dump(memory, file)
        os.replace(draft, path)  # noqa: PTH105
    except OSError:
        return


def _stored(kind: str, store: str) -> list[str] | None:
    import sqlite3

    try:
        connection = sqlite3.connect(f"file:{_quoted(store)}?mode=ro", uri=True, timeout=_BUSY_S)
        try:
            rows = connection.execute(_NAMES.format(STORED[kind]), (4 * NAMES_MOST,)).fetchall()
        finally:
            connection.close()
    except sqlite3.Error:
        return None
    return safe_names(name for (name,) in rows if isinstance(name, str))


def _quoted(path: str) -> str:
    """As it stands in an SQLite URI (sqlite.org/uri.html)."""
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _file(kind: str, environ: Mapping[str, str]) -> str:
    base = environ.get("XDG_CACHE_HOME") or os.path.join(environ.get("HOME", ""), ".cache")  # noqa: PTH118
    return os.path.join(base, "iotcache", f"names-{kind}.json")  # noqa: PTH118


def _place(environ: Mapping[str, str]) -> str:
    """Folder and environment, as a digest: passwords may be among them."""
    from hashlib import sha256

    given = sorted(f"{name}={value}" for name, value in environ.items() if name.startswith(_OURS))
    return sha256("\0".join([os.getcwd(), *given]).encode("utf-8", "surrogateescape")).hexdigest()  # noqa: PTH109


def _seen(files: Iterable[str]) -> dict[str, list[int] | None]:
    seen: dict[str, list[int] | None] = {}
    for name in files:
        try:
            status = os.stat(name)  # noqa: PTH116
        except OSError:
            seen[name] = None
        else:
            seen[name] = [status.st_ino, status.st_size, status.st_mtime_ns]
    return seen
