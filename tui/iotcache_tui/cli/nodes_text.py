"""Nodes and what-ifs as ``iotcache-tui nodes`` prints them, for a person and for programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import structs

from iotcache.cluster import ResizeResult, RingFollower, RingStatus
from iotcache.cluster.placement.share import shares
from iotcache.config.node_lists import is_node_list
from iotcache.config.schema import Settings
from iotcache.config.urls import NodeAddress
from iotcache.model import NodeHealth, NodeState
from iotcache.nodelist.listing import node_text
from iotcache.nodelist.whatif import NodeLoad, RingForecast
from iotcache.text import printable
from iotcache_tui.cli.documents import (
    FollowerLine,
    NodeForecastDocument,
    NodeLine,
    NodesDocument,
    NodesForecastDocument,
)
from iotcache_tui.format import data_size, plural


def is_same(one: Sequence[NodeAddress], other: Sequence[NodeAddress]) -> bool:
    """Whether two lists are one ring: their order means nothing."""
    return {node.name: node for node in one} == {node.name: node for node in other}


def nodes_document(
    wanted: Settings,
    ring: RingStatus,
    followers: Sequence[RingFollower],
    health: Sequence[NodeHealth],
    loads: Mapping[str, NodeLoad],
) -> NodesDocument:
    """What the nodes are; ``wanted`` are the settings as they were given."""
    placement, nodes = wanted.cache.placement, ring.nodes
    known = {node.name: node for node in health}
    lines = []
    for node, share in zip(nodes, shares(placement, nodes), strict=True):
        stands = known.get(node.name, NodeHealth(node.name, NodeState.STARTING))
        load = loads.get(node.name, NodeLoad())
        lines.append(
            NodeLine(
                node.name,
                node.weight,
                round(share, 4),
                stands.state.value,
                printable(stands.reason),
                printable(stands.version),
                load.items,
                load.used_bytes,
                load.limit_bytes,
                round(load.gets_per_s, 1),
                round(load.sets_per_s, 1),
                round(load.hits_per_s / load.gets_per_s, 4) if load.gets_per_s else None,
            )
        )
    source = str(wanted.cache.nodes) if is_node_list(wanted.cache.nodes) else ""
    return NodesDocument(
        placement,
        source,
        ring.epoch,
        ring.phase.value,
        printable(ring.driver),
        [node_text(node) for node in ring.target] if ring.target != ring.nodes else [],
        [
            FollowerLine(
                printable(each.host, 80), each.pid, printable(each.role, 40), each.epoch, each.phase.value,
                round(each.age_s, 1), each.handed_over, each.reads_saved, each.copy_reads, each.copy_writes,
            )
            for each in followers
        ],
        [printable(key, 250) for key in ring.hot_keys],
        ring.hot_nodes,
        lines,
    )  # fmt: skip


def list_lines(document: NodesDocument) -> Iterator[str]:
    """A node a line."""
    if document.source:
        yield f"{plural(len(document.nodes), 'node')} by {printable(document.source, 200)}"
    wide = max(len(node.name) for node in document.nodes)
    for node in document.nodes:
        head = f"{node.name:<{wide}}  weight {node.weight:<3} {100 * node.share:5.1f} %"
        if node.state != "up":
            yield f"{head}  {node.state}{': ' + node.reason if node.reason else ''}"
            continue
        hits = "" if node.hit_ratio is None else f", {100 * node.hit_ratio:.1f} % hits"
        yield (
            f"{head}  up  {plural(node.items, 'entry', 'entries')}, {data_size(node.used_bytes)} of "
            f"{data_size(node.limit_bytes)}, {node.gets_per_s:,.0f} gets/s{hits}, "
            f"{node.sets_per_s:,.0f} sets/s"
        )
    if document.phase != "steady":
        yield f"being changed ({document.phase}) by {document.driver}, to {', '.join(document.target)}"
    for key in document.hot_keys:
        yield f"hot: {key} is read from {plural(document.hot_nodes, 'node')}"
    if document.epoch or document.followers:
        yield f"epoch {document.epoch}, followed by {plural(len(document.followers), 'client')}"
    for each in document.followers:
        behind = "" if each.epoch == document.epoch else f", epoch {each.epoch}"
        done = (
            f", {each.handed_over:,} handed over, {plural(each.reads_saved, 'store read')} saved"
            if each.handed_over or each.reads_saved
            else ""
        )
        if each.copy_reads or each.copy_writes:
            reads, writes = plural(each.copy_reads, "read"), plural(each.copy_writes, "write")
            done += f", {reads} of copies, {writes} to copies"
        yield f"  {each.role} {each.pid} on {each.host}{behind}, heard of {each.age_s:.0f} s ago{done}"


def forecast_document(worked_out: RingForecast, result: ResizeResult | None = None) -> NodesForecastDocument:
    """For programs."""
    fields = {
        name: getattr(worked_out, name)
        for name in NodesForecastDocument.__struct_fields__
        if name not in ("nodes", "result")
    }
    nodes = [NodeForecastDocument(**structs.asdict(node), fits=node.fits) for node in worked_out.nodes]
    return NodesForecastDocument(nodes=nodes, result=result, **fields)


def progress_line(status: RingStatus) -> str:
    """How far a change is, in one line."""
    left = f", about {_seconds(status.left_s)} left" if status.left_s is not None else ""
    walked = (
        f", {status.walked:,} of {plural(status.to_walk, 'entry', 'entries')} looked through"
        if status.to_walk
        else ""
    )
    undoing = "undoing, " if status.undoing else ""
    return f"{undoing}{status.phase.value}{walked}, {status.handed_over:,} handed over{left}"


def result_lines(
    result: ResizeResult, worked_out: RingForecast, nodes: Sequence[NodeAddress], *, follows_config: bool
) -> Iterator[str]:
    """What was foretold beside what happened, and what is left to do."""
    if result.undone:
        yield f"undone: the ring is that of epoch {result.epoch} as before"
        return
    yield (
        f"epoch {result.epoch}: {100 * result.share_moved:.1f} % of all keys moved "
        f"({100 * worked_out.share_moved:.1f} % foretold) in {_seconds(result.took_s)} "
        f"({_seconds(worked_out.takes_s)} foretold)"
    )
    yield (
        f"{plural(result.walked, 'entry', 'entries')} looked through, "
        f"{result.handed_over_by_all:,} handed over ({worked_out.items_moved:,} foretold), "
        f"{result.handed_over_by_all - result.handed_over:,} of them as they were read, and so "
        f"{plural(result.reads_saved, 'store read')} saved"
    )
    if not follows_config:
        listed = ", ".join(f'"{node_text(node)}"' for node in nodes)
        yield f"in the configuration of all programs, before they are started anew: cache.nodes = [{listed}]"


def forecast_lines(worked_out: RingForecast, unasked: Sequence[str] = ()) -> Iterator[str]:
    """For a person: what moves, to where, how long it takes, what it costs."""
    one = worked_out
    yield (
        f"{100 * one.share_moved:.1f} % of all keys move: about {one.items_moved:,} of "
        f"{plural(one.items, 'entry', 'entries')}, {data_size(one.bytes_moved)}"
    )
    wide = max(len(node.name) for node in one.nodes)
    for node in one.nodes:
        shares_text = f"{100 * node.share:5.1f} % → {100 * node.share_after:5.1f} %"
        limit = f" of {data_size(node.limit_bytes)}" if node.limit_bytes else ""
        short = "" if node.fits else "  too little memory: it will throw entries out"
        yield (
            f"  {node.name:<{wide}}  {shares_text}  {data_size(node.used_bytes):>5} → "
            f"{data_size(node.used_bytes_after):>5}{limit}{short}"
        )
    if one.rewritten_s is not None:
        yield f"every entry is written anew in {_seconds(one.rewritten_s)}, at the present rate of sets"
    looks = plural(one.walk_items, "entry", "entries")
    yield f"a change takes about {_seconds(one.takes_s)}: {looks} to look through"
    if one.store_reads_without:
        part = f"at most {one.store_reads_without:,}, {one.percent_without:.1f} % of all reads"
        yield f"store reads in the minute after: none more; without a hand-over {part}"
    else:
        yield "store reads in the minute after: none more, nothing that moves is read"
    for name in unasked:
        yield f"note: {printable(name, 100)} does not answer: what it holds is not counted"


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:,.0f} s"
