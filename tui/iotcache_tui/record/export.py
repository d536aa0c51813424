"""Cuts a stretch out of a recording into a recording of its own."""

from __future__ import annotations

from pathlib import Path

import msgspec

from iotcache.private_files import private_opener
from iotcache.text import printable
from iotcache_tui.record.chunks import FRAMES, KEYFRAME, RecordingError, write_chunk, write_start
from iotcache_tui.record.frames import snapshot
from iotcache_tui.record.player import RecordingPlayer
from iotcache_tui.state.dashboard import DashboardState
from iotcache_tui.state.updates import Latest


def export(source: Path, target: Path, from_s: float, to_s: float) -> float:
    """Write what lies between two positions, in seconds from the recording's start; returns its length in s.

    Raises `RecordingError` when there is nothing between them or ``target`` exists or cannot be written.
    """
    player = RecordingPlayer(source)
    try:
        first = player.start_s + max(from_s, 0.0)
        last = min(player.start_s + to_s, player.end_s)
        if last <= first:
            raise RecordingError(
                f"there is nothing between {from_s:g} s and {to_s:g} s: the recording is "
                f"{player.length_s:.0f} s long"
            )
        state = DashboardState()
        player.state = state
        player.play(False)
        player.seek(first)
        state.fleet.wall_less_monotonic_s = player.wall() - first
        for drained in player.deliver():
            state.apply(drained)
        try:
            with open(target, "xb", opener=private_opener) as file:
                write_start(file)
                body = msgspec.msgpack.encode(snapshot(first, player.wall(), state, latest_of(state)))
                write_chunk(file, KEYFRAME, 0, (first, player.wall()), body)
                for chunk in player.chunk_range(first, last):
                    frames = [frame for frame in player.frames(chunk) if first < frame.now_s <= last]
                    if frames:
                        head = frames[0]
                        at = head.now_s, head.wall_s
                        write_chunk(file, FRAMES, chunk.gravity, at, msgspec.msgpack.encode(frames))
        except FileExistsError as error:
            shown = printable(str(target))
            raise RecordingError(f"{shown} is there already: a recording never overwrites a file") from error
        except OSError as error:
            shown = printable(str(target))
            raise RecordingError(f"the recording {shown} cannot be written: {error.strerror}") from error
        return last - first
    finally:
        player.close()


def latest_of(state: DashboardState) -> Latest:
    """What a screen would be told of the values that replace each other."""
    return Latest(
        attachment=state.attachment,
        nodes=state.nodes or None,
        parts=state.parts or None,
        processes=state.processes,
        node_figures=state.node_figures,
        lab=state.lab,
        alerts=state.alerts or None,
        node_list=state.node_list,
        ready=state.ready or None,
        failure=state.failure or None,
    )
