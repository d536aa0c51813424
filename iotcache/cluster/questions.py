"""Questions about nodes themselves: statistics, and the commands of `iotcache.cluster.admin`."""

from __future__ import annotations

from collections.abc import Sequence

from iotcache.cluster.exchange import gather_groups
from iotcache.cluster.node import Node
from iotcache.cluster.wire.answers import Answers, ErrorReply, LineReply, StatsReplies
from iotcache.errors import NodeError
from iotcache.text import printable_bytes


class NodeQuestions:
    """Asks all nodes, or one."""

    def __init__(self, nodes: Sequence[Node], *, timeout_s: float) -> None:
        self._nodes = nodes
        self._timeout_s = timeout_s

    async def stats(self, arguments: Sequence[str]) -> dict[str, dict[str, str]]:
        """Raw ``stats`` of every node that answers."""
        request = _stats_request(arguments)
        found: dict[str, dict[str, str]] = {}

        async def ask(node: Node) -> None:
            answers = StatsReplies()
            try:
                await _submit(node, request, answers, self._timeout_s)
            except NodeError:
                return
            if isinstance(answers.out, dict):
                found[node.name] = answers.out

        await gather_groups(ask, [node for node in self._nodes if node.up])
        return {node.name: found[node.name] for node in self._nodes if node.name in found}

    async def stats_of(self, node: Node, arguments: Sequence[str]) -> dict[str, str]:
        """Raw ``stats`` of one node, so that no other is waited for. Raises `NodeError`."""
        answers = StatsReplies()
        await self._ask(node, _stats_request(arguments), answers)
        if isinstance(answers.out, ErrorReply):
            raise NodeError(f"refused: {answers.out.text}")
        return answers.out

    async def admin(self, node: Node, command: bytes) -> str:
        """Send one of `iotcache.cluster.admin` to a node; its answer. Raises `NodeError` when it refuses."""
        answer = LineReply()
        await self._ask(node, command, answer)
        if isinstance(answer.out, ErrorReply):
            raise NodeError(f"refused: {answer.out.text}")
        if answer.out != b"OK":
            raise NodeError(f"refused: {printable_bytes(answer.out, 120)}")
        return "OK"

    async def _ask(self, node: Node, request: bytes, answers: Answers) -> None:
        """Ask one node; its time is not counted among the latencies, which are of reads and writes."""
        try:
            connection = await node.ready(self._timeout_s)
            await connection.submit(request, answers, self._timeout_s)
        except NodeError as error:
            node.failed(error)
            raise


async def _submit(node: Node, request: bytes, answers: Answers, timeout_s: float) -> float:
    """Send one batch to ``node`` and wait for it: seconds taken. Raises `NodeError`."""
    try:
        connection = await node.ready(timeout_s)
        seconds = await connection.submit(request, answers, timeout_s)
    except NodeError as error:
        node.failed(error)
        raise
    node.answered(seconds)
    return seconds


def _stats_request(arguments: Sequence[str]) -> bytes:
    request = " ".join(("stats", *arguments)).encode("ascii") + b"\r\n"
    if b"\n" in request[:-1] or b"\r" in request[:-2]:
        raise ValueError("an argument of stats holds a line end")
    return request
