"""``python -P -m iotcache_simulator.cachenode``: run one cache node until a signal, or the end of stdin,
ends it."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable

from iotcache_simulator.cachenode.node import MIB, BundledNode
from iotcache_simulator.cachenode.server import collect_cycles, crawl, listen, steady_clock

_ITEM_MIN_BYTES = 1024
_PORT_MAX = 65535


def _arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m iotcache_simulator.cachenode",
        description="A cache node that speaks memcached's protocols.",
    )
    parser.add_argument("--listen", default="127.0.0.1", metavar="ADDRESS", help="interface (127.0.0.1)")
    parser.add_argument("--port", type=int, default=0, help="TCP port; 0, the default, takes a free one")
    parser.add_argument("--memory-mb", type=int, default=64, metavar="N", help="limit of all items (64)")
    parser.add_argument(
        "--max-item-bytes", type=int, default=MIB, metavar="N", help="limit of one item (1048576)"
    )
    parser.add_argument(
        "--max-connections", type=int, default=1024, metavar="N", help="clients at once (1024)"
    )
    parser.add_argument("--watch-stdin", action="store_true", help="end when stdin does")
    found = parser.parse_args(words)
    if not 0 <= found.port <= _PORT_MAX:
        parser.error(f"--port is {found.port}: it must be between 0 and {_PORT_MAX}")
    if found.memory_mb < 1:
        parser.error(f"--memory-mb is {found.memory_mb}: it must be at least 1")
    if found.max_connections < 1:
        parser.error(f"--max-connections is {found.max_connections}: it must be at least 1")
    if not _ITEM_MIN_BYTES <= found.max_item_bytes <= found.memory_mb * MIB:
        parser.error(
            f"--max-item-bytes is {found.max_item_bytes}: "
            f"it must be between {_ITEM_MIN_BYTES} and --memory-mb ({found.memory_mb * MIB} bytes)"
        )
    return found


def _call_at_end_of_stdin(end: Callable[[], object]) -> None:
    """A thread, because stdin may be a file or a terminal, which not every event loop can wait for."""

    def read() -> None:
        try:
            while os.read(0, 4096):
                pass
        except OSError:
            pass
        end()

    threading.Thread(target=read, name="stdin", daemon=True).start()


async def _run(arguments: argparse.Namespace) -> int:
    node = BundledNode(
        steady_clock(),
        limit_bytes=arguments.memory_mb * MIB,
        max_item_bytes=arguments.max_item_bytes,
        max_connections=arguments.max_connections,
    )
    try:
        server = await listen(node, arguments.listen, arguments.port)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        print(f"cannot listen on {arguments.listen}:{arguments.port}: {why}", file=sys.stderr)
        return 1
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def end() -> None:
        loop.call_soon_threadsafe(ended.set)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: end())
    if arguments.watch_stdin:
        _call_at_end_of_stdin(end)
    chores = [asyncio.create_task(chore(node)) for chore in (crawl, collect_cycles)]
    address, port = node.listening
    print(f"listening {f'[{address}]' if ':' in address else address}:{port}", flush=True)
    await ended.wait()
    for chore in chores:
        chore.cancel()
    server.close()
    return 0


def main(words: list[str] | None = None) -> int:
    """Run a node; gives the exit status: 0 when told to end, 1 when it cannot listen, 2 for bad arguments."""
    return asyncio.run(_run(_arguments(words)))


if __name__ == "__main__":
    sys.exit(main())
