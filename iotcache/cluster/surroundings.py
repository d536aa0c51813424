"""What a node tells and asks of the cluster around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from iotcache.model import NodeState

if TYPE_CHECKING:
    from iotcache.cluster.wire.connection import Connection

NodeT_contra = TypeVar("NodeT_contra", contravariant=True)


class Surroundings(Protocol[NodeT_contra]):
    """What a node tells and asks of the cluster around it."""

    def changed(self, node: NodeT_contra, before: NodeState) -> None:
        """The node's state is another one now."""
        ...

    def answers(self, node: NodeT_contra, connection: Connection) -> None:
        """The node answers over ``connection``, and is not used yet."""
        ...

    async def before_up(self, node: NodeT_contra, connection: Connection) -> None:
        """Make sure that nothing stale can be read from the node; raises `NodeError` to keep it out."""
        ...
