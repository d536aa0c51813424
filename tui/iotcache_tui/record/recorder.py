"""Writes a recording while the dashboard runs: packed and written by a thread of its own."""

from __future__ import annotations

import logging
import queue
import threading
import time
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct, structs

from iotcache.model import Event, Severity
from iotcache.private_files import private_opener
from iotcache.text import printable
from iotcache_tui.record.answers import AnswerBook
from iotcache_tui.record.chunks import FRAMES, KEYFRAME, ChunkFile, RecordingError, write_chunk, write_start
from iotcache_tui.record.frames import Answered, Frame, Keyframe, snapshot, to_frame
from iotcache_tui.record.rotation import Rotation
from iotcache_tui.state.dashboard import DashboardState
from iotcache_tui.state.requests import Answer, Request
from iotcache_tui.state.updates import Drained, Latest

log = logging.getLogger(__name__)

FLUSH_S: Final = 1.0
KEYFRAME_S: Final = 30.0
QUEUE_MOST: Final = 240
"""Frames that may wait for the disk; beyond it the recording has a gap, and says so."""
_GRAVITY: Final = {Severity.INFO: 0, Severity.WARNING: 1, Severity.ERROR: 2}
_OF_A_LESSON: Final = "lab."
"""Steps, acts and remarks are what one looks for in a recorded lesson: they are marked as warnings are."""
_encode: Final = msgspec.msgpack.Encoder().encode


class Recorder:
    """Takes every frame in the screen's thread; never blocks it."""

    def __init__(
        self,
        path: Path,
        *,
        values: bool = True,
        payloads: bool = False,
        rotation: Rotation | None = None,
        keyframe_s: float = KEYFRAME_S,
    ) -> None:
        """``values`` are what devices measured, ``payloads`` what a viewer showed of raw entries.

        With ``rotation`` it goes on for ever in several files: each begins with the whole state, and a file
        of before is put away as the newest one. ``keyframe_s`` is how often the whole state is written.
        Raises `RecordingError` when the file is there already or cannot be written.
        """
        self.path = path
        self._values, self._payloads = values, payloads
        self.problem = ""
        """Why it stopped writing; empty while all is well."""
        self.frames_lost = 0
        self.bytes_written = 0
        self._rotation = rotation
        self._opened_wall_s = time.time()
        self._file_bytes = 0
        self._wants_keyframe = False
        """The file has grown enough: the next one is to begin."""
        shown = printable(str(path))
        try:
            if rotation is not None and path.exists():
                ChunkFile(path).close()  # somebody else's file is left alone
                rotation.put_away(path, time.time())
            self._open()
        except FileExistsError as error:
            raise RecordingError(f"{shown} is there already: a recording never overwrites a file") from error
        except OSError as error:
            raise RecordingError(f"the recording {shown} cannot be written: {error.strerror}") from error
        self._queue: queue.Queue[Frame | Keyframe | None] = queue.Queue(QUEUE_MOST)
        self._latest = Latest()
        self._answers: list[Answered] = []
        self._book = AnswerBook()
        self._keyframe_at_s = float("-inf")
        self._keyframe_s = self._keyframe_every_s = keyframe_s
        self._thread = threading.Thread(target=self._write, name="recorder", daemon=True)
        self._thread.start()

    def _open(self) -> None:
        """Begin a file. Raises `OSError`."""
        self._file = open(self.path, "xb", opener=private_opener)  # noqa: SIM115
        write_start(self._file)
        self._file.flush()
        self._file_bytes = 0
        self._opened_wall_s = time.time()

    # The screen's thread

    def answered(self, request: Request, answer: Answer) -> None:
        """A screen was answered: a replay answers the same question with it."""
        value = answer.value
        if getattr(request, "shows_payload", False) and not self._payloads:
            return
        kind = f"{type(value).__module__}:{type(value).__qualname__}" if isinstance(value, Struct) else ""
        try:
            self._answers.append(
                Answered(
                    type(request).__name__,
                    _encode(request),
                    kind,
                    _encode(value) if kind else b"",
                    answer.done,
                    answer.error,
                )
            )
        except (TypeError, ValueError) as error:
            log.info("an answer could not be recorded: %s", error)

    def add(self, now_s: float, wall_s: float, drained: Drained, state: DashboardState) -> None:
        """One frame, after ``state`` took it in."""
        answers, self._answers = tuple(self._answers), []
        for answer in answers:
            self._book.add(answer)
        self._latest = self._latest.updated(drained)
        self._put(to_frame(now_s, wall_s, drained, answers, values=self._values))
        if self._wants_keyframe or now_s - self._keyframe_at_s >= self._keyframe_every_s:
            self._wants_keyframe = False
            self._keyframe_at_s = now_s
            # A large fleet's state costs time and room: it is kept less often.
            self._keyframe_every_s = max(self._keyframe_s, len(state.fleet) / 200)
            keyframe = snapshot(now_s, wall_s, state, self._latest, self._book.everything())
            self._put(keyframe if self._values else _without_values(keyframe))

    def _put(self, item: Frame | Keyframe) -> None:
        try:
            self._queue.put_nowait(item)
        except queue.Full:
            self.frames_lost += 1
            self._keyframe_at_s = float("-inf")  # what follows the gap begins with the whole state

    @property
    def waiting(self) -> int:
        """Frames that are not written yet."""
        return self._queue.qsize()

    def close(self, timeout_s: float = 5.0) -> None:
        """Write what waits, and end."""
        try:
            self._queue.put(None, timeout=timeout_s)
        except queue.Full:
            return
        self._thread.join(timeout_s)

    # The recorder's thread

    def _write(self) -> None:
        frames: list[Frame] = []
        while True:
            item = self._queue.get()
            if isinstance(item, Frame):
                frames.append(item)
            if frames and (not isinstance(item, Frame) or item.now_s - frames[0].now_s >= FLUSH_S):
                self._append(FRAMES, _gravest(frames), frames[0], _encode(frames))
                frames = []
            if isinstance(item, Keyframe):
                self._rotate()
                self._append(KEYFRAME, 0, item, _encode(item))
            if item is None:
                self._file.close()
                return

    def _rotate(self) -> None:
        """Begin the next file where the newest has all that it is to have; a keyframe goes first into it."""
        rotation = self._rotation
        age_s = time.time() - self._opened_wall_s
        if rotation is None or self.problem or not rotation.due(self._file_bytes, age_s):
            return
        try:
            self._file.close()
            rotation.put_away(self.path, time.time())
            self._open()
        except OSError as error:
            self.problem = f"the recording stopped: {error.strerror}"

    def _append(self, kind: int, gravity: int, first: Frame | Keyframe, body: bytes) -> None:
        if self.problem:
            return
        try:
            size = write_chunk(self._file, kind, gravity, (first.now_s, first.wall_s), body)
            self.bytes_written += size
            self._file_bytes += size
            if self._rotation is not None and self._file_bytes >= self._rotation.piece_bytes:
                self._wants_keyframe = True
        except OSError as error:
            self.problem = f"the recording stopped: {error.strerror}"


def _gravest(frames: list[Frame]) -> int:
    events: list[Event] = [event for frame in frames for event in frame.rest.events]
    return max(map(_gravity, events), default=0)


def _gravity(event: Event) -> int:
    return max(_GRAVITY[event.severity], int(event.kind.startswith(_OF_A_LESSON)))


def _without_values(keyframe: Keyframe) -> Keyframe:
    fleet = structs.replace(
        keyframe.fleet,
        value=[None if value is None else 0 for value in keyframe.fleet.value],
        trend=bytes(len(keyframe.fleet.trend)),
    )
    return structs.replace(keyframe, fleet=fleet)
