"""What every widget of a frame is drawn against."""

from __future__ import annotations

from msgspec import Struct

from iotcache_tui.units import System


class RenderContext(Struct, frozen=True):
    """What a frame draws against."""

    now_s: float
    wall_s: float
    nodes: dict[str, str]
    """Short names of the nodes."""
    ascii_only: bool = False
    motion: bool = False
    """Whether a change may glow for a moment."""
    units: System = "as sent"
