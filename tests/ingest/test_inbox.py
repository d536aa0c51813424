"""Messages between the wire and whoever takes them."""

from __future__ import annotations

import asyncio

import pytest

from iotcache.mqtt import Message, inbox


async def test_what_a_resumed_session_does_not_bring_again_is_taken_as_it_came(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inbox, "HELD_S", 0.05)
    box = inbox.Inbox(None, lambda: None)

    def deliver(epoch: int, mid: int, payload: bytes, received_us: int) -> None:
        box.deliver(Message("t", payload, 1, False, mid, epoch, received_us, len(payload)))
        box.wake()

    box.begin(1)
    for n in (1, 2, 3, 4):
        deliver(1, n, b"ab"[n % 2 :], n)  # 1 and 3 are alike, and so are 2 and 4
    taking = asyncio.create_task(box.batch(1, 0, 1_000))
    assert [message.received_us for message in await taking] == [1]
    for epoch in (2, 3):  # lost again at once
        box.begin(epoch)
        box.resumed()
        assert len(box) == 3
    waiting = asyncio.create_task(box.batch(10, 0, 1_000))
    await asyncio.sleep(0)
    deliver(3, 6, b"b", 49)  # the first, which was taken: it keeps its time, by which it is known
    deliver(3, 7, b"ab", 50)  # the second
    deliver(3, 8, b"new", 51)
    assert box.oldest_unacked_us() == 1
    first = await waiting
    assert [(message.mid, message.received_us) for message in first] == [(6, 1), (7, 2), (8, 51)]
    async with asyncio.timeout(5):
        rest = await box.batch(10, 0, 1_000)
    assert [(message.epoch, message.received_us) for message in rest] == [(1, 3), (1, 4)]
    assert box.settle(rest) == []
    assert [message.mid for message in box.settle(first)] == [6, 7, 8]
    assert (len(box), box.unacked, box.queued_bytes) == (0, 0, 0)


async def test_of_a_session_that_is_forgotten_nothing_is_waited_for() -> None:
    box = inbox.Inbox(None, lambda: None)
    box.begin(1)
    for n in (1, 2):
        box.deliver(Message("t", b"%d" % n, 1, False, n, 1, n, 1))
    box.begin(2)
    box.resumed()
    box.begin(3)
    box.forgotten()
    assert [message.received_us for message in await box.batch(10, 0, 1_000)] == [1, 2]
