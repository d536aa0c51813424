"""A change of the ring from a terminal: progress on standard error, and undone by Ctrl-C."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from iotcache_tui.cli.nodes_text import progress_line
from iotcache_tui.cli.simulating.output import until_signalled

if TYPE_CHECKING:
    from iotcache.cluster import Cluster, ResizeResult, RingStatus
    from iotcache.config.urls import NodeAddress

_UNDO_S: Final = 30.0


async def change(
    cluster: Cluster, nodes: Sequence[NodeAddress], *, keys_per_s: int, quiet: bool
) -> ResizeResult:
    """Change the ring and tell how far it is. Raises `RingError`; `KeyboardInterrupt` once it is undone."""
    shown = sys.stderr.isatty() and not quiet
    last = ""

    def progress(status: RingStatus) -> None:
        nonlocal last
        line = progress_line(status)
        if shown:
            print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
        elif not quiet and status.phase.value != last:
            print(line, file=sys.stderr, flush=True)
        last = status.phase.value

    interrupted = False
    work = asyncio.ensure_future(cluster.resize(nodes, keys_per_s=keys_per_s, on_progress=progress))

    def stop() -> None:
        nonlocal interrupted
        interrupted = True
        work.cancel()

    try:
        with until_signalled(stop):
            return await work
    except asyncio.CancelledError:
        if not interrupted:
            raise
        async with asyncio.timeout(_UNDO_S):
            await cluster.undo_resize()
        print("\ninterrupted: the change was undone", file=sys.stderr)
        raise KeyboardInterrupt from None
    finally:
        if shown:
            print(file=sys.stderr)
