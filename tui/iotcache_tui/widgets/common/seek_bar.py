"""The line under a replay: where it is, how fast it goes, and where something happened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from rich.text import Text
from textual import events
from textual.widget import Widget

from iotcache_tui.key_display import key_shown

_HINTS_FROM, _MARKS_FROM = 76, 100
"""Cells from which on there is room for the keys: those of place and speed, then those of marks."""


def clock(seconds: float) -> str:
    """``h:mm:ss``."""
    whole = max(int(seconds), 0)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


class Playback(Protocol):
    """What plays a recording. Positions are monotonic seconds of the recorded run."""

    start_s: float
    speed: float
    playing: bool

    @property
    def length_s(self) -> float: ...
    @property
    def ended(self) -> bool: ...
    def position(self) -> float: ...
    def seek(self, to_s: float) -> None: ...
    def marks(self) -> list[tuple[float, int]]:
        """Where something grave happened: position, 1 for a warning, 2 for an error."""
        ...


class SeekBar(Widget):
    """Time, bar with marks, length, speed; a click goes there."""

    DEFAULT_CSS = """
    SeekBar {
        height: 1; dock: bottom; margin: 0 0 1 0; padding: 0 1; background: $panel; color: $foreground;
    }
    """

    def __init__(self, player: Playback, *, keys: Mapping[str, str], ascii_only: bool) -> None:
        """``keys`` are the user's own."""
        super().__init__()
        self._keys = keys
        self._player = player
        self._ascii = ascii_only
        self._shown: tuple[str, int, bool, float] = ("", -1, False, 0.0)

    def _room(self) -> tuple[int, int]:
        """Where the bar begins, and its length, in cells."""
        size = len(clock(self._player.length_s))
        left = 2 + size + 1
        return left, max(self.content_size.width - left - 1 - size - 7 - len(self._hints()), 5)

    def _hints(self) -> str:
        """The keys that nobody would guess, where there is room for them."""
        width, pairs = self.content_size.width, []
        if width >= _HINTS_FROM:
            pairs = [("replay.back", "[", "replay.on", "]", "10 s")]
            pairs += [("replay.slower", "<", "replay.faster", ">", "speed")]
        if width >= _MARKS_FROM:
            pairs += [("replay.mark_before", ",", "replay.mark_next", ".", "marks")]
        keys = self._keys
        return "".join(
            f"  {key_shown(keys, less, key)} {key_shown(keys, more, other)} {what}"
            for less, key, more, other, what in pairs
        )

    def show(self) -> None:
        """Redraw when anything that it shows has changed."""
        player = self._player
        at_s = player.position() - player.start_s
        _, room = self._room()
        shown = clock(at_s), self._column(at_s, room), player.playing, player.speed
        if shown != self._shown:
            self._shown = shown
            self.refresh()

    def _column(self, at_s: float, room: int) -> int:
        return min(int(at_s / max(self._player.length_s, 1e-9) * room), room - 1)

    def render(self) -> Text:
        player = self._player
        _, room = self._room()
        colours = self.app.theme_variables
        at_s = player.position() - player.start_s
        here = self._column(at_s, room)
        cells = [
            ("=" if self._ascii else "━") if i <= here else ("-" if self._ascii else "─") for i in range(room)
        ]
        tones = [colours["primary"] if i <= here else "dim" for i in range(room)]
        for mark_s, gravity in player.marks():
            column = self._column(mark_s - player.start_s, room)
            if cells[column] not in "✗x":
                cells[column] = ("!x" if self._ascii else "▲✗")[gravity - 1]
                tones[column] = colours["warning" if gravity == 1 else "error"]
        cells[here], tones[here] = ("O" if self._ascii else "●"), f"bold {colours['primary']}"
        play = ">" if self._ascii else "▶"
        rest = "=" if self._ascii else "‖"
        text = Text(no_wrap=True, end="")
        text.append(f"{play if player.playing and not player.ended else rest} {clock(at_s)} ", "bold")
        for cell, tone in zip(cells, tones, strict=True):
            text.append(cell, tone)
        text.append(f" {clock(player.length_s)}  {player.speed:g}×".replace("×", "x" if self._ascii else "×"))
        left = self.content_size.width - text.cell_len - len(self._hints())
        text.append(" " * max(left, 0) + self._hints(), "dim")
        return text

    def on_click(self, event: events.Click) -> None:
        left, room = self._room()
        share = (event.x - 1 - left) / max(room - 1, 1)
        if -0.02 <= share <= 1.02:
            player = self._player
            player.seek(player.start_s + min(max(share, 0.0), 1.0) * player.length_s)
