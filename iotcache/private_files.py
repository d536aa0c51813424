"""Files and folders that only their owner may read, whatever the umask: they hold what devices measured."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700


def private_opener(path: str, flags: int) -> int:
    """For ``open(…, opener=private_opener)``. A file that is there already keeps its mode."""
    return os.open(path, flags, FILE_MODE)


def make_private_file(path: Path) -> None:
    """An empty file, for a library that opens it by itself; nothing where there is one. Raises `OSError`."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE))


def make_private_folder(path: Path) -> None:
    """The folder, with those above it that are missing; nothing where there is one. Raises `OSError`."""
    if not path.parent.exists():
        make_private_folder(path.parent)
    path.mkdir(mode=FOLDER_MODE, exist_ok=True)
