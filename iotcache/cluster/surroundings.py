"""What a node tells and asks of the cluster around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from iotcache.model import NodeState

if TYPE_CHECKING:
    from iotcache.cluster.node import Node
    from iotcache.cluster.wire.connection import Connection


class Surroundings(Protocol):
    """What a node tells and asks of the cluster around it."""

    def changed(self, node: Node, before: NodeState) -> None:
        """The node's state is another one now."""
        ...

    def answers(self, node: Node, connection: Connection) -> None:
        """The node answers over ``connection``, and is not used yet."""
        ...

    async def before_up(self, node: Node, connection: Connection) -> None:
        """Make sure that nothing stale can be read from the node; raises `NodeError` to keep it out."""
        ...
