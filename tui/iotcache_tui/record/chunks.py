"""The recording's file: append-only chunks, each compressed on its own, so that a file cut off anywhere is
still readable up to there, and a player can skip.

A line with the format's number (`MAGIC`), then per chunk a header (`_HEADER`, big-endian): kind, gravest
severity in it, length of the body in bytes, monotonic and wall time of its first frame in seconds; then the
body, zlib-compressed msgpack.
"""

from __future__ import annotations

import errno
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from msgspec import Struct

from iotcache.errors import IotCacheError
from iotcache.text import printable
from iotcache_tui.record.rotation import earlier_files

FORMAT: Final = 2
"""Grows when a recording of the format before can no longer be played."""
_MAGIC: Final = b"iotcache recording "
MAGIC: Final = b"%s%d\n" % (_MAGIC, FORMAT)
FRAMES: Final = 0
KEYFRAME: Final = 1
_HEADER: Final = struct.Struct(">BBIdd")
BODY_LIMIT_BYTES: Final = 128 * 1024 * 1024
"""Of one chunk, packed or not. The state of a fleet takes about 390 bytes a series; a few bytes of a foreign
file can ask for gigabytes."""
_TIME_LIMIT_S: Final = 1e11


class RecordingError(IotCacheError):
    """The file is no recording, or cannot be read or written."""


class Chunk(Struct, frozen=True):
    """Where one chunk lies, without its body."""

    kind: int
    gravity: int
    """0, or 1 for a warning, 2 for an error among its events."""
    offset: int
    length: int
    now_s: float
    wall_s: float
    file: int = 0
    """Which of the recording's files it is in."""


def write_start(file: BinaryIO) -> None:
    file.write(MAGIC)


def write_chunk(file: BinaryIO, kind: int, gravity: int, at: tuple[float, float], body: bytes) -> int:
    """Append one chunk; ``at`` is its monotonic and wall time. Returns the bytes written.

    Raises `OSError`, also for more than a reader takes.
    """
    if len(body) > BODY_LIMIT_BYTES:
        raise OSError(errno.EFBIG, f"a part of it has over {BODY_LIMIT_BYTES >> 20} MiB")
    packed = zlib.compress(body, 3)
    file.write(_HEADER.pack(kind, gravity, len(packed), *at) + packed)
    file.flush()
    return _HEADER.size + len(packed)


_CLOCK_SLACK_S: Final = 60.0
"""By how much the wall clock may be set between two files of one run."""


class ChunkFile:
    """A recording opened for reading, with the files that went before it. Raises `RecordingError` when it is
    none."""

    def __init__(self, path: Path) -> None:
        self.cut_off = False
        """Whether the newest file ends in the middle of a chunk: its writer was killed."""
        self._files: list[BinaryIO] = []
        try:
            chunks = self._take(path)
            if not chunks:
                raise RecordingError(f"the recording {printable(str(path))} is empty")
            cut_off = self.cut_off
            for earlier in reversed(earlier_files(path)):
                # A run's first file begins with what it took in first, each later one with the whole state.
                before = self._earlier(earlier, chunks[0]) if chunks[0].kind == KEYFRAME else []
                if not before:
                    break
                chunks = [*before, *chunks]
            self.cut_off = cut_off
        except BaseException:
            self.close()
            raise
        self.chunks = tuple(chunks)

    def _earlier(self, path: Path, first: Chunk) -> list[Chunk]:
        """The chunks of a file, where they are what went before ``first`` in the same run."""
        try:
            chunks = self._take(path)
        except RecordingError:
            return []
        last = chunks[-1] if chunks else first
        drift_s = abs((last.wall_s - last.now_s) - (first.wall_s - first.now_s))
        return chunks if last.now_s <= first.now_s and drift_s <= _CLOCK_SLACK_S else []

    def _take(self, path: Path) -> list[Chunk]:
        """Open a file of the recording; its chunks. Raises `RecordingError`."""
        shown = printable(str(path))
        try:
            file = path.open("rb")
        except OSError as error:
            raise RecordingError(f"the recording {shown} cannot be read: {error.strerror}") from error
        self._files.append(file)
        start = file.read(len(MAGIC))
        if start == MAGIC:
            return list(self._scan(file, len(self._files) - 1))
        if start.startswith(_MAGIC):
            raise RecordingError(
                f"the recording {shown} is of another version of this program: only format {FORMAT} is "
                "played here"
            )
        raise RecordingError(f"{shown} is no recording of this program")

    def _scan(self, file: BinaryIO, number: int) -> Iterator[Chunk]:
        size = file.seek(0, 2)
        at = len(MAGIC)
        self.cut_off = False
        while at < size:
            file.seek(at)
            header = file.read(_HEADER.size)
            if len(header) < _HEADER.size:
                self.cut_off = True
                return
            kind, gravity, length, now_s, wall_s = _HEADER.unpack(header)
            at += _HEADER.size
            if kind not in (FRAMES, KEYFRAME) or length > BODY_LIMIT_BYTES or at + length > size:
                self.cut_off = True
                return
            if not (abs(now_s) < _TIME_LIMIT_S and abs(wall_s) < _TIME_LIMIT_S):  # NaN is neither
                raise RecordingError("the recording is damaged: a part of it has no time")
            yield Chunk(kind, gravity, at, length, now_s, wall_s, number)
            at += length

    def body(self, chunk: Chunk) -> bytes:
        """The chunk's content. Raises `RecordingError` when it is damaged."""
        unpacker = zlib.decompressobj()
        try:
            file = self._files[chunk.file]
            file.seek(chunk.offset)
            body = unpacker.decompress(file.read(chunk.length), BODY_LIMIT_BYTES)
        except (zlib.error, OSError) as error:
            raise RecordingError("the recording is damaged: a part of it cannot be unpacked") from error
        if not unpacker.eof:
            raise RecordingError("the recording is damaged: a part of it is larger than it may be")
        return body

    def close(self) -> None:
        for file in self._files:
            file.close()
