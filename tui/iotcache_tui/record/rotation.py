"""A recording in several files, of which the oldest go.

``FILE`` is the one that is written; what went before it is called ``FILE.20261130T101500``.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Final

from msgspec import Struct

PIECES: Final = 12
"""A recording is cut into about so many files: that much of it goes at once."""
PIECE_MIN_S: Final = 60.0
PIECE_MIN_BYTES: Final = 64 * 1024
_STAMP: Final = re.compile(r"\d{8}T\d{6}(-\d+)?")


class Rotation(Struct, frozen=True):
    """How much of a recording is kept."""

    keep_s: float
    most_bytes: int
    """Of all its files."""

    @property
    def piece_s(self) -> float:
        return max(self.keep_s / PIECES, PIECE_MIN_S)

    @property
    def piece_bytes(self) -> int:
        return max(self.most_bytes // PIECES, PIECE_MIN_BYTES)

    def due(self, size_bytes: int, age_s: float) -> bool:
        """Whether a file of this size that was begun so long ago is to be the last no more."""
        return size_bytes >= self.piece_bytes or age_s >= self.piece_s

    def put_away(self, path: Path, now_s: float) -> None:
        """Give the newest file the name of an older one, and remove what is too old or too much.

        Raises `OSError`.
        """
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now_s))
        target = path.with_name(f"{path.name}.{stamp}")
        if last := earlier_files(path)[-1:]:
            before, turn = _order(last[0])
            if before >= stamp:  # within the same second, or the clock was set back: after it in any case
                target = path.with_name(f"{path.name}.{before}-{turn + 1}")
        path.rename(target)
        self.prune(path, now_s)

    def prune(self, path: Path, now_s: float) -> None:
        """Remove the oldest files; the room of one more is left for the newest. Raises `OSError`."""
        older = earlier_files(path)
        sizes = {file: file.stat() for file in older}
        room = self.most_bytes - self.piece_bytes
        total = sum(found.st_size for found in sizes.values())
        for file in older:
            found = sizes[file]
            if total <= room and now_s - found.st_mtime <= self.keep_s:
                return
            file.unlink()
            total -= found.st_size


def earlier_files(path: Path) -> list[Path]:
    """What went before the file ``path`` of a recording, the oldest first. Only names are looked at."""
    base, dot, stamp = path.name.rpartition(".")
    put_away = bool(dot) and _STAMP.fullmatch(stamp) is not None
    start = f"{base if put_away else path.name}."
    try:
        names = [file.name for file in path.parent.iterdir()]
    except OSError:
        return []
    stamped = [name for name in names if name.startswith(start) and _STAMP.fullmatch(name[len(start) :])]
    files = sorted((path.with_name(name) for name in stamped), key=_order)
    return [file for file in files if _order(file) < _order(path)] if put_away else files


def _order(path: Path) -> tuple[str, int]:
    stamp, _, turn = path.name.rpartition(".")[2].partition("-")
    return stamp, int(turn or 0)
