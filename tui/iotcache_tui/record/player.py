"""Plays a recording: a feed, a mailbox and a clock that the screens cannot tell from live ones."""

from __future__ import annotations

import importlib
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from iotcache.model import Series
from iotcache_tui.record.answers import AnswerBook
from iotcache_tui.record.chunks import FRAMES, KEYFRAME, Chunk, ChunkFile, RecordingError
from iotcache_tui.record.frames import Answered, Frame, decode_frames, decode_keyframe, from_frame, restore
from iotcache_tui.record.lesson import exported
from iotcache_tui.state.dashboard import DashboardState
from iotcache_tui.state.lab import LabExport
from iotcache_tui.state.requests import Answer, Request
from iotcache_tui.state.updates import Drained, Mailbox

SPEEDS: Final = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
_OPENING_CHUNKS: Final = 4
"""So many chunks are looked at for what a recording is of: a few seconds."""
_ANSWERS_FROM: Final = ("iotcache_tui.state.", "iotcache.")
"""Only plain values of these rooms are made from a recording."""


class RecordingPlayer:
    """Where in the recording we are, how fast it goes, and what comes in until then.

    Positions are monotonic seconds of the recorded run. `deliver` is called once a frame.
    """

    def __init__(self, path: Path, *, real_s: Callable[[], float] = time.monotonic) -> None:
        """Raises `RecordingError` when the file is no recording."""
        self._file = ChunkFile(path)
        self.chunks = self._file.chunks
        self.cut_off = self._file.cut_off
        self._starts = [chunk.now_s for chunk in self.chunks]
        self._real_s = real_s
        self.start_s = self.chunks[0].now_s
        self.end_s = self._last_frame_s()
        self.speed = 1.0
        self.playing = True
        self._anchor = (self.start_s, real_s())
        self._next = 0
        """The chunk to read next."""
        self._waiting: list[Frame] = []
        self._wall_offset_s = self.chunks[0].wall_s - self.chunks[0].now_s
        self._series: list[Series] = []
        self._book = AnswerBook()
        self._jump: float | None = self.start_s
        self.state: DashboardState | None = None
        """The state that a jump restores; set by the app."""

    def _last_frame_s(self) -> float:
        for chunk in reversed(self.chunks):
            if chunk.kind == FRAMES:
                return decode_frames(self._file.body(chunk))[-1].now_s
        return self.chunks[-1].now_s

    def close(self) -> None:
        self._file.close()

    @property
    def of_a_lesson(self) -> bool:
        """Whether a scenario was on show from the beginning."""
        for chunk in self.chunks[:_OPENING_CHUNKS]:
            if chunk.kind == FRAMES:
                labs = [frame.rest.lab for frame in self.frames(chunk)]
            else:
                labs = [decode_keyframe(self._file.body(chunk)).latest.lab]
            if any(lab is not None and lab.name for lab in labs):
                return True
        return False

    # Where we are

    @property
    def length_s(self) -> float:
        return self.end_s - self.start_s

    def position(self) -> float:
        """Never beyond the end, where it stands still."""
        at_s, real_s = self._anchor
        if self.playing:
            at_s += (self._real_s() - real_s) * self.speed
        return min(at_s, self.end_s)

    def wall(self) -> float:
        """The wall time that the recorded run had here."""
        return self.position() + self._wall_offset_s

    @property
    def ended(self) -> bool:
        return self.position() >= self.end_s

    def _hold(self) -> None:
        self._anchor = (self.position(), self._real_s())

    def play(self, playing: bool) -> None:
        """Go on or stand still; going on at the end begins anew."""
        if playing and self.ended:
            self.seek(self.start_s)
        self._hold()
        self.playing = playing

    def set_speed(self, speed: float) -> None:
        """One of `SPEEDS`, usually."""
        self._hold()
        self.speed = speed

    def faster(self, steps: int) -> None:
        place = min(max(bisect_right(SPEEDS, self.speed) - 1 + steps, 0), len(SPEEDS) - 1)
        self.set_speed(SPEEDS[place])

    def seek(self, to_s: float) -> None:
        """Go to a position; the state is rebuilt from the keyframe before it."""
        to_s = min(max(to_s, self.start_s), self.end_s)
        behind = to_s < self.position()
        self._anchor = (to_s, self._real_s())
        if behind or self._keyframe_before(to_s) >= self._next:
            self._jump = to_s

    def marks(self) -> list[tuple[float, int]]:
        """Where something grave happened: position, 1 for a warning, 2 for an error."""
        return [(chunk.now_s, chunk.gravity) for chunk in self.chunks if chunk.gravity]

    def to_mark(self, step: int) -> None:
        """Go to the next mark, or with -1 to the one before."""
        here = self.position()
        places = [at for at, _ in self.marks()]
        ahead = [at for at in places if at > here + 0.5]
        behind = [at for at in places if at < here - 1.5]
        if step > 0 and ahead:
            self.seek(ahead[0])
        elif step < 0:
            self.seek(behind[-1] if behind else self.start_s)

    # What comes in

    def _keyframe_before(self, at_s: float) -> int:
        place = bisect_right(self._starts, at_s)
        return next((i for i in range(place - 1, -1, -1) if self.chunks[i].kind == KEYFRAME), 0)

    def _rebuild(self) -> None:
        self._jump = None
        at_s = self.position()
        self._waiting = []
        self._next = self._keyframe_before(at_s)
        state = self.state
        if state is None:
            return
        chunk = self.chunks[self._next]
        if chunk.kind == KEYFRAME:
            keyframe = decode_keyframe(self._file.body(chunk))
            restore(keyframe, state)
            self._book = AnswerBook(keyframe.answers)
            self._next += 1
        else:
            state.reset()
            self._book = AnswerBook()
        self._series = list(state.fleet.series)

    def deliver(self) -> list[Drained]:
        """Everything between the last call and the position now."""
        if self._jump is not None:
            self._rebuild()
        at_s = self.position()
        taken: list[Drained] = []
        while True:
            while self._waiting and self._waiting[0].now_s <= at_s:
                frame = self._waiting.pop(0)
                self._wall_offset_s = frame.wall_s - frame.now_s
                if frame.rest.anew:
                    self._series = []
                drained = from_frame(frame, self._series)
                self._series.extend(info.series for info in drained.joined)
                for answer in frame.answers:
                    self._book.add(answer)
                taken.append(drained)
            if self._waiting or self._next >= len(self.chunks) or self._starts[self._next] > at_s:
                return taken
            chunk = self.chunks[self._next]
            self._next += 1
            if chunk.kind == FRAMES:
                self._waiting = list(decode_frames(self._file.body(chunk)))

    def answers(self, request: Request, ticket: int) -> list[Answer]:
        """What the same question was answered when it was last asked in the recorded run."""
        taken = self._book.find(type(request).__name__, msgspec.msgpack.encode(request))
        if not taken:
            return [Answer(ticket, error="a recording knows only what was looked at while it ran")]
        return [Answer(ticket, _value(one), one.done, one.error) for one in taken]

    def chunk_range(self, from_s: float, to_s: float) -> list[Chunk]:
        """The chunks of frames that overlap a stretch."""
        return [
            chunk
            for index, chunk in enumerate(self.chunks)
            if chunk.kind == FRAMES
            and chunk.now_s <= to_s
            and (index + 1 == len(self.chunks) or self._starts[index + 1] >= from_s)
        ]

    def frames(self, chunk: Chunk) -> tuple[Frame, ...]:
        return decode_frames(self._file.body(chunk))


def _value(answer: Answered) -> object:
    if not answer.kind:
        return None
    module, _, name = answer.kind.partition(":")
    if not module.startswith(_ANSWERS_FROM):
        raise RecordingError("the recording is damaged: it names a value that no answer has")
    kind = getattr(importlib.import_module(module), name, None)
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        raise RecordingError("the recording is damaged: it names a value that no answer has")
    return msgspec.msgpack.decode(answer.value, type=kind)


class ReplayClock:
    """The recorded run's own time."""

    def __init__(self, player: RecordingPlayer) -> None:
        self._player = player

    def now(self) -> float:
        return self._player.wall()

    def monotonic(self) -> float:
        return self._player.position()


class ReplayMailbox(Mailbox):
    """Drains what the recorded run took in until now."""

    def __init__(self, player: RecordingPlayer) -> None:
        super().__init__()
        self._player = player

    def drain_all(self) -> list[Drained]:
        return self._player.deliver()


class ReplayFeed:
    """Stands in for the live feed."""

    def __init__(self, player: RecordingPlayer) -> None:
        self.player = player
        self.mailbox: Mailbox = ReplayMailbox(player)
        self._ticket = 0

    def start(self) -> None:
        """The player goes by itself."""

    def stop(self, timeout_s: float = 10.0) -> None:
        self.player.close()

    def watch(self, rows: Sequence[int]) -> None:
        """Nothing can be read that was not."""

    def ask(self, request: Request) -> int:
        self._ticket += 1
        if isinstance(request, LabExport) and self.player.state is not None:
            self.mailbox.put_answer(exported(request, self.player.state.lab, self._ticket))
            return self._ticket
        for answer in self.player.answers(request, self._ticket):
            self.mailbox.put_answer(answer)
        return self._ticket

    def cancel(self, ticket: int) -> None:
        """Answers are there at once."""
