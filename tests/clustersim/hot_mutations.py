"""Faults planted in how hot keys are copied, each a function; the simulation has to find them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from iotcache.cluster import routed_write
from iotcache.cluster.copies import driver, hot_keys, reading, writing
from iotcache.cluster.copies.hot_keys import HotKeys
from iotcache.cluster.copies.placed import CopyPlacement
from iotcache.cluster.outcomes import DELETE_REASONS
from iotcache.cluster.rings import record, resizing
from iotcache.cluster.rings.driver import RingDriver
from iotcache.cluster.rings.view import RingView
from iotcache.cluster.routed_write import RoutedWrite, RoutedWrites
from iotcache.cluster.types import WriteResult
from iotcache.cluster.wire import protocol

from .ring_mutations import Changed

Patch = pytest.MonkeyPatch


def write_to_the_owner_only(patch: Patch) -> None:
    """Copies are not written."""

    async def send(self: RoutedWrites, *args: Any) -> list[int]:
        return []

    patch.setattr(RoutedWrites, "_send_to_copies", send)


def confirm_what_a_copy_did_not_take(patch: Patch) -> None:
    """A copy that could not be written is read all the same."""
    real = RoutedWrites._send_to_copies

    async def send(
        self: RoutedWrites, copies: Any, write: RoutedWrite, which: Any, results: list[WriteResult]
    ) -> list[int]:
        before = list(results)
        await real(self, copies, write, which, results)
        results[:] = [was if was.ok else now for was, now in zip(before, results, strict=True)]
        return []

    patch.setattr(RoutedWrites, "_send_to_copies", send)


def let_copies_survive_deletes(patch: Patch) -> None:
    """A delete goes to the owner alone."""
    real = RoutedWrites._send_to_copies

    async def send(self: RoutedWrites, copies: Any, write: RoutedWrite, *args: Any) -> list[int]:
        return [] if write.reasons is DELETE_REASONS else await real(self, copies, write, *args)

    patch.setattr(RoutedWrites, "_send_to_copies", send)


def write_past_copies_at_once(patch: Patch) -> None:
    """A node with a copy that is out for the writer is passed over though others may still read it."""
    real = writing.by_node

    def by_node(router: Any, copies: CopyPlacement, keys: Any) -> Any:
        return real(router, copies, keys)[0], {}

    patch.setattr(routed_write, "by_node", by_node)
    patch.setattr(routed_write, "out_of_copies", lambda *args: ())


def bring_over_anything(patch: Patch) -> None:
    """What the owner has is set at the copy whatever came in between, not over the lease alone."""

    def set_request(key: bytes, value: bytes, flags: int, ttl: int, extra: bytes = b"") -> bytes:
        return protocol.set_request(key, value, flags, ttl)

    patch.setattr(reading, "protocol", Changed(protocol, set_request=set_request))


def put_no_floors_for_copies(patch: Patch) -> None:
    """What a node has left from an earlier time counts as a copy."""

    def copy_floor(self: RingView, index: int) -> int:
        return 1

    patch.setattr(RingView, "copy_floor", copy_floor)


def read_copies_at_once(patch: Patch) -> None:
    """Copies are read as soon as the list stands on all nodes, no lease after that."""

    async def stand(self: RingDriver, found: Any) -> bool:
        await self._fences.look_at(self._fences.reach())
        return self._view.newest is found

    patch.setattr(RingDriver, "stand", stand)


def forget_leaving_keys_at_once(patch: Patch) -> None:
    """Keys that are on the list no more are not written any more, though others may still read copies."""
    real = hot_keys.announced

    def announced(*args: Any) -> HotKeys:
        return replace(real(*args), leaving=())

    patch.setattr(driver, "announced", announced)


def read_copies_while_the_ring_changes(patch: Patch) -> None:
    """A change of the ring leaves the list as it is, and copies are not written to the new ring."""
    patch.setattr(resizing, "unread", lambda hot: hot)
    patch.setattr(record, "unread", lambda hot: hot)


HOT_MUTATIONS: dict[str, Callable[[Patch], None]] = {
    plant.__name__: plant
    for plant in (
        write_to_the_owner_only,
        confirm_what_a_copy_did_not_take,
        let_copies_survive_deletes,
        write_past_copies_at_once,
        bring_over_anything,
        put_no_floors_for_copies,
        read_copies_at_once,
        forget_leaving_keys_at_once,
        read_copies_while_the_ring_changes,
    )
}
