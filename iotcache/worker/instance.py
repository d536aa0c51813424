"""A worker's name: the same after a restart, as its session at the broker hangs on it, and nobody else's."""

from __future__ import annotations

import contextlib
import os
import platform
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

_SLOTS: Final = 256


@contextlib.contextmanager
def own_name(group: str) -> Iterator[str]:
    """The host's name; for members of a group with the lowest number that no other member on it holds."""
    host = platform.node() or "worker"
    if not group:
        yield host
        return
    held = _hold_slot(group)
    if held is None:  # no locks here: a name of its own all the same, though not the same next time
        yield f"{host}-p{os.getpid()}"
        return
    number, file = held
    with file:  # closing it lets the lock go, as does the end of the process, however it ends
        yield f"{host}-{number}"


def _hold_slot(group: str) -> tuple[int, IO[bytes]] | None:
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    folder = Path(tempfile.gettempdir()) / f"iotcache-workers-{os.getuid()}"
    safe = "".join(char if char.isalnum() else "_" for char in group)[:64]
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            return None
        for number in range(1, _SLOTS + 1):
            file = (folder / f"{safe}-{number}.lock").open("wb")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                continue
            return number, file
    except OSError:
        pass
    return None
