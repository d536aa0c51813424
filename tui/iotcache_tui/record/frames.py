"""What a recording holds: frames with what came in, and keyframes with the whole state."""

from __future__ import annotations

import msgspec
from msgspec import Struct, structs

from iotcache.model import MissReason, Read, Series, Source
from iotcache_tui.record.chunks import RecordingError
from iotcache_tui.record.keyframe_columns import FleetColumns, pack, unpack
from iotcache_tui.state.dashboard import DashboardState
from iotcache_tui.state.log import LogEntry
from iotcache_tui.state.updates import Drained, FallbackRead, Latest, RowUpdate, Second


class RecordedRow(Struct, frozen=True, array_like=True, gc=False):
    """A `RowUpdate` without the names that the directory has already."""

    row: int
    at_s: float
    reads: int
    hits: int
    value: float | int | bool | str | None
    source: Source
    ts_us: int
    node: str
    ttl_s: float | None
    reason: MissReason | None
    latency_ms: float
    store_ms: float
    unit: str
    interval_s: float


class Answered(Struct, frozen=True, array_like=True):
    """One piece of what a screen was answered."""

    request: str
    """The request's class."""
    asked: bytes
    """The request itself, as msgpack."""
    kind: str
    """``module:class`` of the value; empty for none."""
    value: bytes
    done: bool
    error: str


class Frame(Struct, frozen=True, array_like=True):
    """What one frame took in, and when."""

    now_s: float
    wall_s: float
    rows: tuple[RecordedRow, ...]
    rest: Drained
    """Everything but the rows."""
    answers: tuple[Answered, ...] = ()


class Keyframe(Struct, frozen=True):
    """The whole state, so that a player can begin here."""

    now_s: float
    wall_s: float
    fleet: FleetColumns
    seconds: list[Second]
    fallbacks: list[FallbackRead]
    fallbacks_total: int
    fallbacks_dropped: int
    log: list[LogEntry]
    log_total: int
    latest: Latest
    """The newest of each value that replaces the one before."""
    answers: tuple[Answered, ...] = ()
    """What the questions asked lately were answered."""


_decode_frames = msgspec.msgpack.Decoder(tuple[Frame, ...]).decode
_decode_keyframe = msgspec.msgpack.Decoder(Keyframe).decode


def to_frame(
    now_s: float, wall_s: float, drained: Drained, answers: tuple[Answered, ...], *, values: bool
) -> Frame:
    """``values`` False leaves out what the devices measured."""
    rows = tuple(
        RecordedRow(
            update.row,
            update.at_s,
            update.reads,
            update.hits,
            read.value if values or read.value is None else 0,
            read.source,
            read.ts_us,
            read.node,
            read.ttl_s,
            read.miss_reason,
            read.latency_ms,
            read.store_ms,
            read.unit,
            read.interval_s,
        )
        for update in drained.rows
        for read in (update.read,)
    )
    return Frame(now_s, wall_s, rows, structs.replace(drained, rows=()), answers)


def from_frame(frame: Frame, series: list[Series]) -> Drained:
    """``series`` are those of the fleet before this frame."""
    known = [*series, *(info.series for info in frame.rest.joined)] if frame.rest.joined else series
    rows = [
        RowUpdate(
            one.row,
            Read(
                *known[one.row], value=one.value, source=one.source, unit=one.unit, ts_us=one.ts_us,
                node=one.node, ttl_s=one.ttl_s, miss_reason=one.reason, latency_ms=one.latency_ms,
                store_ms=one.store_ms, interval_s=one.interval_s,
            ),
            one.at_s,
            one.reads,
            one.hits,
        )
        for one in frame.rows
        if one.row < len(known)
    ]  # fmt: skip
    return structs.replace(frame.rest, rows=rows)


def decode_frames(body: bytes) -> tuple[Frame, ...]:
    try:
        return _decode_frames(body)
    except msgspec.MsgspecError as error:
        raise RecordingError("the recording is damaged: a part of it is no frame of this format") from error


def decode_keyframe(body: bytes) -> Keyframe:
    try:
        return _decode_keyframe(body)
    except msgspec.MsgspecError as error:
        raise RecordingError("the recording is damaged: a part of it is no frame of this format") from error


def snapshot(
    now_s: float,
    wall_s: float,
    state: DashboardState,
    latest: Latest,
    answers: tuple[Answered, ...] = (),
) -> Keyframe:
    """A copy that the state's next change does not touch."""
    return Keyframe(
        now_s, wall_s, pack(state.fleet), list(state.seconds), list(state.fallbacks), state.fallbacks_total,
        state.fallbacks_dropped, state.log.everything(), state.log.total, latest, answers,
    )  # fmt: skip


def restore(keyframe: Keyframe, state: DashboardState) -> None:
    """Make ``state`` what it was. Raises `RecordingError` when the columns do not fit each other."""
    state.reset()
    unpack(keyframe.fleet, state.fleet)
    state.recall_fallbacks(keyframe.fallbacks)
    state.fallbacks_total, state.fallbacks_dropped = keyframe.fallbacks_total, keyframe.fallbacks_dropped
    state.log.restore(keyframe.log, keyframe.log_total)
    state.apply(Drained().updated(keyframe.latest))
    state.recall(keyframe.seconds)
