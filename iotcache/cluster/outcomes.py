"""What becomes of writes on one node: sent, confirmed, and each key's outcome."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from iotcache.cluster.exchange import exchange, windows
from iotcache.cluster.node import Node
from iotcache.cluster.types import WriteResult
from iotcache.cluster.wire.answers import ErrorReply, StoreReplies
from iotcache.cluster.wire.connection import Connection, ConnectionLost
from iotcache.cluster.wire.protocol import BARRIER
from iotcache.errors import NodeError

Reasons = dict[bytes, tuple[bool, str]]
"""By a node's answer: whether it was done, and why not."""

UNTOLD: Final = WriteResult(False, "", "not sent")
SET_REASONS: Final[Reasons] = {
    b"HD": (True, ""),
    b"NS": (False, "the key is there already"),
    b"EX": (False, "the value was changed meanwhile"),
    b"NF": (False, "the key is not there"),
}
CONFLICTS: Final = frozenset(why for ok, why in SET_REASONS.values() if not ok)
"""Reasons of a `WriteResult` that say: somebody else was faster."""
DELETE_REASONS: Final[Reasons] = {b"HD": (True, ""), b"NF": (True, "it was not there")}
TOUCH_REASONS: Final[Reasons] = {
    b"HD": (True, ""),
    b"EN": (False, "the key is not there"),
    b"NF": (False, "the key is not there"),
}


async def confirm(  # noqa: PLR0917
    node: Node,
    positions: list[int],
    requests: list[bytes],
    reasons: Reasons,
    results: list[WriteResult] | dict[int, WriteResult],
    timeout_s: float,
) -> list[int]:
    """Send ``requests`` to one node and note their outcomes; returns the positions it did not answer."""
    shared = shared_results(node, reasons)
    order = iter(positions)
    unanswered: list[int] = []
    for answers, error in await exchange(node, requests, StoreReplies, timeout_s):
        unanswered += note_results(node, order, answers, error, shared, results)
    return unanswered


def shared_results(node: Node, reasons: Reasons) -> dict[bytes, WriteResult]:
    """The outcome of each usual answer of ``node``, one for all keys."""
    return {line: WriteResult(ok, node.name, why) for line, (ok, why) in reasons.items()}


def note_results(  # noqa: PLR0917
    node: Node,
    order: Iterator[int],
    answers: StoreReplies,
    error: NodeError | None,
    shared: dict[bytes, WriteResult],
    results: list[WriteResult] | dict[int, WriteResult],
) -> list[int]:
    """Put a window's outcomes where ``order`` says; returns the positions that may be tried elsewhere."""
    if error is not None:
        failed = WriteResult(False, node.name, str(error))
        positions = list(islice(order, answers.want))
        for position in positions:
            results[position] = failed
        # A node that is up and only slow would be no faster the second time.
        return positions if isinstance(error, ConnectionLost) or not node.up else []
    if answers.out.count(b"HD") == answers.want:  # as nearly always
        done = shared[b"HD"]
        for position in islice(order, answers.want):
            results[position] = done
        return []
    for answer, position in zip(answers.out, order, strict=False):
        results[position] = shared.get(answer) or WriteResult(False, node.name, _words(answer))
    return []


def _words(answer: object) -> str:
    return answer.text if isinstance(answer, ErrorReply) else f"unexpected answer {answer!r}"


async def confirmed_by(connection: Connection, requests: list[bytes], timeout_s: float) -> bool:
    """Send ``requests`` over one connection; whether the node carried out all of them."""
    for window in windows(requests):
        answers = StoreReplies(len(window))
        try:
            await connection.submit(b"".join([*window, BARRIER]), answers, timeout_s)
        except NodeError:
            return False
        if any(isinstance(answer, ErrorReply) for answer in answers.out):
            return False
    return True
