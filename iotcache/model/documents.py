"""Metadata and configuration of devices, as stored and as read."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from msgspec import Struct

from iotcache.model.readings import ReadWay


class DocumentKind(StrEnum):
    """What a document tells of a device; the value is the last part of its cache key and topic."""

    META = "meta"
    CONFIG = "cfg"


class DocumentName(NamedTuple):
    """Which document of which device."""

    device: str
    kind: DocumentKind


class Document(Struct, frozen=True, gc=False):
    """A device's metadata or configuration, as it was said."""

    device: str
    kind: DocumentKind
    version: int
    """Grows with each new one; an older one never replaces a newer one."""
    content: str
    """JSON text."""
    site: str = ""
    at_us: int = 0
    """When it was said."""

    @property
    def name(self) -> DocumentName:
        return DocumentName(self.device, self.kind)


class DocumentRead(ReadWay, frozen=True):
    """One answered read of a document, and its way."""

    device: str
    kind: DocumentKind
    version: int | None
    """``None`` when there is no such document."""
    content: Any
    """The decoded JSON; ``None`` when there is no such document."""
    site: str = ""
    at_us: int = 0


class DeviceRetired(Struct, frozen=True):
    """A device was put out of service."""

    device: str
    at_us: int


DeviceMessage = Document | DeviceRetired
"""What a device says of itself."""


class LifecycleResult(Struct, frozen=True):
    """What the store made of a batch of device messages."""

    standing: Sequence[Document]
    """Documents that are the newest of their name now."""
    ended: Sequence[str]
    """Devices that were retired."""
