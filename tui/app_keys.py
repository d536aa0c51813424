"""Keys of the whole program beside those of its screens: a replay's, and the rate of frames."""

from __future__ import annotations

from typing import Final

from textual.binding import Binding

REPLAY: Final = (
    Binding(
        "left_square_bracket",
        "seek(-10)",
        "Replay: back 10 s",
        show=False,
        key_display="[",
        id="replay.back",
    ),
    Binding(
        "right_square_bracket", "seek(10)", "Replay: on 10 s", show=False, key_display="]", id="replay.on"
    ),
    Binding(
        "left_curly_bracket",
        "seek(-60)",
        "Replay: back a minute",
        show=False,
        key_display="{",
        id="replay.back_minute",
    ),
    Binding(
        "right_curly_bracket",
        "seek(60)",
        "Replay: on a minute",
        show=False,
        key_display="}",
        id="replay.on_minute",
    ),
    Binding("less_than_sign", "speed(-1)", "Replay: slower", show=False, key_display="<", id="replay.slower"),
    Binding(
        "greater_than_sign", "speed(1)", "Replay: faster", show=False, key_display=">", id="replay.faster"
    ),
    Binding(
        "comma",
        "mark(-1)",
        "Replay: the mark before",
        show=False,
        key_display=",",
        id="replay.mark_before",
    ),
    Binding(
        "full_stop",
        "mark(1)",
        "Replay: the next mark",
        show=False,
        key_display=".",
        id="replay.mark_next",
    ),
)
"""They work, and are told of, only while a recording is played."""
FRAMES: Final = (
    Binding(
        "right_parenthesis",
        "frames(1)",
        "More frames a second",
        show=False,
        key_display=")",
        id="app.frames_more",
    ),
    Binding(
        "left_parenthesis",
        "frames(-1)",
        "Fewer frames a second",
        show=False,
        key_display="(",
        id="app.frames_fewer",
    ),
)
