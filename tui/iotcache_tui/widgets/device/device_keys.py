"""Every key of one device, as its node holds it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from math import inf
from typing import ClassVar

from iotcache.text import printable
from iotcache_tui.format import duration, fit, fit_middle
from iotcache_tui.state.device.model import DeviceKeys, KeyFacts
from iotcache_tui.widgets.common.cursor_table import CursorTable, ttl_pieces
from iotcache_tui.widgets.common.render_context import RenderContext
from iotcache_tui.widgets.common.table_fields import Piece, TableField

_KIND_STYLES = {"latest": "good", "bucket": "second", "meta": "ttl", "cfg": "ttl"}


class DeviceKeyTable(CursorTable):
    """A line a key; what is not in the cache is there, too, and says so."""

    FIELDS: ClassVar[Sequence[TableField]] = (
        TableField("key", "Key", 18, 80),
        TableField("kind", "Class", 6, 7, 4),
        TableField("ttl", "TTL", 10, 16, 0, right=True),
        TableField("idle", "Idle", 4, 5, 3, right=True),
        TableField("size", "Bytes", 5, 7, 2, right=True),
        TableField("read", "Read", 5, 5, 5),
        TableField("node", "Node", 6, 16, 1),
    )

    def __init__(self, *, ascii_only: bool, id: str) -> None:
        super().__init__(ascii_only=ascii_only, id=id)
        self.keys: tuple[KeyFacts, ...] = ()
        self.moment = RenderContext(0.0, 0.0, {})
        self.message = ""
        """What to say while there is nothing."""
        self._at_s = 0.0
        self._spans: dict[str, float] = {}
        self._ends: dict[str, float] = {}

    def take(self, answer: DeviceKeys | None, message: str = "") -> None:
        """What the nodes told; ``None`` for nothing yet, and why."""
        changed = answer is None or tuple(key.key for key in answer.keys) != tuple(
            key.key for key in self.keys
        )
        self.message = message
        if answer is None:
            self.keys = ()
            self._spans.clear()
            self._ends.clear()
        else:
            self.keys, self._at_s = answer.keys, answer.at_s
            for key in answer.keys:
                self._note(key, answer.at_s)
        if changed:
            self.sync_size()
            self.redraw()

    def _note(self, key: KeyFacts, at_s: float) -> None:
        """The server counts whole seconds: between two answers the earlier estimate is the finer one."""
        if not key.present or key.ttl_s == inf:
            self._ends.pop(key.key, None)
            return
        end = at_s + key.ttl_s
        known = self._ends.get(key.key)
        if known is None or abs(end - known) >= 1.5:
            self._ends[key.key] = end
            self._spans[key.key] = max(key.ttl_s, 1.0)

    def frame(self, moment: RenderContext) -> None:
        self.moment = moment
        self.sync_lines()

    def left_s(self, key: KeyFacts) -> float:
        """Seconds left of an entry that is there."""
        return inf if key.ttl_s == inf else max(self._ends.get(key.key, 0.0) - self.moment.wall_s, 0.0)

    # Lines

    def line_count(self) -> int:
        return len(self.keys)

    def identity(self, line: int) -> Hashable:
        return self.keys[line].key

    def key_at_cursor(self) -> KeyFacts | None:
        """The key under the cursor."""
        line = self.cursor
        return self.keys[line] if line is not None else None

    def content_key(self, line: int) -> Hashable:
        key = self.keys[line]
        left = self.left_s(key)
        room = max(self.field_width("ttl") - 4, 0)
        eighths = round(left / self._spans.get(key.key, 1.0) * room * 8) if left < inf else -1
        return key.key, key.present, key.failure, key.size, key.fetched, key.node, duration(left), eighths, \
            duration(self._idle_s(key))  # fmt: skip

    def _idle_s(self, key: KeyFacts) -> float:
        return max(key.idle_s + self.moment.wall_s - self._at_s, 0.0)

    def cell(self, field: str, line: int, width: int) -> Sequence[Piece]:
        key = self.keys[line]
        if field == "key":
            # All of them begin with the device's name: what tells them apart is what follows.
            rest = key.key.partition(":")[2] or key.key
            return [(fit_middle(printable(rest, 250), width), "name" if key.present else "dim")]
        if field == "kind":
            return [(fit(key.kind, width), _KIND_STYLES[key.kind] if key.present else "dim")]
        if field == "node":
            return [(fit(self.moment.nodes.get(key.node) or printable(key.node) or "–", width), "dim")]
        if field == "ttl":
            if key.failure:
                return [(fit(key.failure, width, right=True), "bad")]
            if not key.present:
                return [(fit("not cached", width, right=True), "dim")]
            return ttl_pieces(self.left_s(key), self._spans.get(key.key, 1.0), width, self.ascii_only)
        if not key.present:
            return [(fit("", width), "dim")]
        if field == "idle":
            return [(fit(duration(self._idle_s(key)), width, right=True), "dim")]
        if field == "size":
            return [(fit(f"{key.size:,}", width, right=True), "strong")]
        return [(fit("yes" if key.fetched else "never", width), "dim")]

    def empty_text(self) -> str:
        return self.message
