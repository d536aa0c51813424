"""A hundred thousand keys of a real node changed from the Keys screen: each counted, and stoppable."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import cast

import pytest

from iotcache_tui.feed.answers import keys as key_feed
from iotcache_tui.state.keys.model import ChangeKeys
from iotcache_tui.state.requests import ActionProgress
from tests.conftest import Server
from tests.tui.test_key_feed import answered, by_hand, reaching

KEYS = tuple(b"bulk:%06d" % number for number in range(100_000))
STOPPED_AT = 30_000


def held(node: Server) -> int:
    lines = by_hand(node, b"stats\r\n", b"END\r\n").decode().splitlines()
    return int(next(line.split()[2] for line in lines if line.startswith("STAT curr_items ")))


@pytest.mark.long
@pytest.mark.real("memcached")
async def test_every_one_of_a_hundred_thousand_keys_is_counted(
    memcached_factory: Callable[..., Server], tmp_path: Path
) -> None:
    node = memcached_factory("-m", "256")
    by_hand(node, b"".join(b"ms %b 1 T900 q\r\nx\r\n" % key for key in KEYS) + b"mn\r\n", b"MN\r\n")
    assert held(node) == len(KEYS)
    async with reaching(tmp_path, node.address) as context:
        touched: list[ActionProgress] = await answered(
            key_feed.change(ChangeKeys(((node.address, KEYS),), 50), context)
        )
        assert touched[-1] == ActionProgress(len(KEYS), len(KEYS), len(KEYS))
        assert by_hand(node, b"mg bulk:099999 t\r\n") in (b"HD t50\r\n", b"HD t49\r\n", b"HD t48\r\n")
        steps = [one.done for one in touched]
        assert steps == sorted(steps) and len(steps) > 100, "one sees it come along"
        begun = key_feed.change(ChangeKeys(((node.address, KEYS),)), context)
        async with aclosing(cast(AsyncGenerator[ActionProgress, None], begun)) as deleting:
            async for one in deleting:
                if one.done >= STOPPED_AT:
                    break
        assert held(node) == len(KEYS) - one.changed, "stopped between two batches"
        rest = await answered(key_feed.change(ChangeKeys(((node.address, KEYS),)), context))
        assert rest[-1] == ActionProgress(len(KEYS), len(KEYS), len(KEYS) - one.changed)
    assert held(node) == 0
