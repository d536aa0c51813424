"""Keys of the whole program beside those of its screens: a replay's, and the rate of frames."""

from __future__ import annotations

from typing import Final

from textual.binding import Binding


def _key(shown: str, name: str, action: str, words: str, id: str) -> Binding:
    """One that the help tells of and the footer does not."""
    return Binding(name, action, words, show=False, key_display=shown, id=id)


REPLAY: Final = (
    _key("[", "left_square_bracket", "seek(-10)", "Replay: back 10 s", "replay.back"),
    _key("]", "right_square_bracket", "seek(10)", "Replay: on 10 s", "replay.on"),
    _key("{", "left_curly_bracket", "seek(-60)", "Replay: back a minute", "replay.back_minute"),
    _key("}", "right_curly_bracket", "seek(60)", "Replay: on a minute", "replay.on_minute"),
    _key("<", "less_than_sign", "speed(-1)", "Replay: slower", "replay.slower"),
    _key(">", "greater_than_sign", "speed(1)", "Replay: faster", "replay.faster"),
    _key(",", "comma", "mark(-1)", "Replay: the mark before", "replay.mark_before"),
    _key(".", "full_stop", "mark(1)", "Replay: the next mark", "replay.mark_next"),
)
"""They work, and are told of, only while a recording is played."""
FRAMES: Final = (
    _key(")", "right_parenthesis", "frames(1)", "More frames a second", "app.frames_more"),
    _key("(", "left_parenthesis", "frames(-1)", "Fewer frames a second", "app.frames_fewer"),
)
