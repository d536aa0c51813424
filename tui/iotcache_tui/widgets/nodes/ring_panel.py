"""The panel of the ring: weights and shares, and what another list of nodes would come to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from iotcache_tui.format import bar, count, counted, data_size, duration, fit, fit_middle, percent, plural
from iotcache_tui.state.nodes.ring import ResizeProgress, RingFigures
from iotcache_tui.state.nodes.whatif import TriedNode, WhatIf
from iotcache_tui.widgets.common.panel import Line
from iotcache_tui.widgets.nodes.node_detail import WAITING

_BAR_MOST = 24
_ALL_LINES = 6
"""In a panel of fewer lines only the first line of what a change comes to is shown."""


def ring(  # noqa: PLR0917
    what: WhatIf | None,
    now: RingFigures | None,
    own: ResizeProgress | None,
    selected: str,
    short: Mapping[str, str],
    width: int,
    height: int,
    ascii_only: bool,
) -> Sequence[Line]:
    """Who follows the ring, and how far a change is; each node's weight and share; where another list is
    tried, what it would come to."""
    if what is None:
        return WAITING
    room = width - 1  # a panel begins each line with a blank
    head, hot = _now(now, own, room, height), _hot(now, room)
    if not what.changed or height - len(head) - len(hot) >= _ALL_LINES:
        head += hot  # what another list comes to is what is looked for, while one is tried
    height -= len(head)
    size = min(max((len(short.get(node.name, node.name)) for node in what.nodes), default=5), 22)
    wide = max(min(width - size - 41, _BAR_MOST), 3)
    last = _comes_to(what, height, ascii_only)
    keep = max(height - len(last), 1)
    at = next((index for index, node in enumerate(what.nodes) if node.name == selected), 0)
    first = min(max(at - keep // 2, 0), max(len(what.nodes) - keep, 0))
    lines = [
        _node(node, fit(short.get(node.name, node.name), size), what, wide,
              is_selected=node.name == selected, ascii_only=ascii_only)
        for node in what.nodes[first : first + keep]
    ]  # fmt: skip
    known = [*head, *lines, *last]
    if now is not None and not what.changed and len(known) < height + len(head):
        spare = height + len(head) - len(known)
        copied = _copies(now, room, spare)
        known[len(head) + len(lines) : len(head) + len(lines)] = [
            *copied, *_followers(now, spare - len(copied))
        ]  # fmt: skip
    return known


def _now(now: RingFigures | None, own: ResizeProgress | None, width: int, height: int) -> list[Line]:
    """The ring's epoch and followers, or how far its change is; nothing of a ring that never changed."""
    if now is None or (not now.epoch and not now.changing):
        return []
    if not now.changing:
        behind = [each for each in now.followers if each.epoch != now.epoch]
        late: Line = [(f", {len(behind)} not yet", "warn")] if behind else []
        return [[(f"epoch {now.epoch}", "strong"), (f", {plural(len(now.followers), 'client')} follow it"
                 if len(now.followers) != 1 else ", 1 client follows it", "row"), *late]]  # fmt: skip
    left = f", ~{duration(now.left_s)} left" if now.left_s is not None else ""
    undoing = "undoing: " if now.undoing else ""
    first: Line = [
        (f"{undoing}{now.phase}", "warn"),
        (f", {100 * now.share_moved:.1f} % of keys{left}; u undoes it", "row"),
    ]
    done = max(now.handed_over, own.handed_over if own is not None else 0)
    saved = f"{count(done)} handed over, {plural(now.reads_saved, 'store read')} saved"
    looked = f"{count(own.walked)} of {count(own.to_walk)} looked through" if own is not None else ""
    third = looked or f"by {now.driver}"
    lines: list[Line] = [first, [(fit(saved, width), "row")], [(fit(third, width), "dim")]]
    return lines if height > _ALL_LINES else lines[:2]


def _hot(now: RingFigures | None, width: int) -> list[Line]:
    """The keys that have copies, the first by name; nothing where there is none."""
    if now is None or not now.hot_keys:
        return []
    head, more = f"hot, on {counted(now.hot_nodes, 'node')}: ", len(now.hot_keys) - 1
    tail = f" and {more} more" if more else ""
    key = fit_middle(now.hot_keys[0], max(width - len(head) - len(tail), 1)).rstrip()
    return [[(head, "warn"), (key, "strong"), (tail, "row")]]


def _copies(now: RingFigures, width: int, room: int) -> list[Line]:
    """What copies were good for, and the other keys that have some, in half of the room at most."""
    if not now.hot_keys or not room:
        return []
    done = f"{counted(now.copy_reads, 'read')} of copies, {counted(now.copy_writes, 'write')} to copies"
    keys = [f"hot: {key}" for key in now.hot_keys[1 : max(room // 2, 1)]]
    return [[(fit_middle(text, width).rstrip(), "row")] for text in (done, *keys)]


def _followers(now: RingFigures, room: int) -> list[Line]:
    lines: list[Line] = [
        [(f"{each.role} {each.pid} on {each.host}", "row"), (f" epoch {each.epoch}", "dim")]
        for each in now.followers
    ]
    if len(lines) <= room:
        return lines
    if room < 2:
        number: Line = [(f"{plural(len(lines), 'client')}, in nodes list", "dim")]
        return [number] * room
    return [*lines[: room - 1], [(f"and {len(lines) - room + 1} more", "dim")]]


def _node(
    node: TriedNode, name: str, what: WhatIf, room: int, *, is_selected: bool, ascii_only: bool
) -> Line:
    arrow = "->" if ascii_only else "→"
    weight, tone = f"weight {node.weight}", "dim"
    if not node.weight:
        weight, tone = f"new, {node.weight_after}", "strong"
    elif not node.weight_after:
        weight, tone = "goes", "strong"
    elif what.placement != "ketama":
        weight = ""
    elif node.weight != node.weight_after:
        weight, tone = f"{weight}{arrow}{node.weight_after}", "strong"
    by = 100 * (node.share_after - node.share)
    after = f"{arrow} {percent(100 * node.share_after):>5} {by:+5.1f}" if what.changed else ""
    return [
        (name, "mark" if is_selected else "row"),
        (f" {fit(weight, 13)} ", tone),
        (bar(node.share_after, room, ascii_only), "bar"),
        (f" {percent(100 * node.share):>5} ", "row"),
        (after, "strong" if abs(by) >= 0.05 else "dim"),
        ("" if node.fits else " full!", "bad"),
    ]


def _comes_to(what: WhatIf, height: int, ascii_only: bool) -> list[Line]:
    one = what.forecast
    if one is None:
        return [[("+ - try a weight, m a node more, x without it", "dim")]]
    moved: Line = [
        (f"{100 * one.share_moved:.1f} % of keys would move", "warn"),
        (f": {count(one.items_moved)} of {counted(one.items, 'entry', 'entries')}", "row"),
        (f", {data_size(one.bytes_moved)}", "row"),
    ]
    if height < _ALL_LINES:
        return [moved]
    at_most = "<=" if ascii_only else "≤"
    reads = (
        f"0 extra store reads ({at_most} {count(one.store_reads_without)}/min without hand-over)"
        if one.store_reads_without
        else "store reads: no more than now"
    )
    anew = f"all set anew in {duration(one.rewritten_s)}; " if one.rewritten_s is not None else ""
    return [moved, [(reads, "row")], [(f"{anew}w does it, r forgets it", "dim")]]
