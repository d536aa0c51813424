"""A new configuration for a device: stored, put into the cache, and published to the device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from iotcache.clock import SYSTEM_CLOCK, Clock
from iotcache.decode.device_messages import DOCUMENT_LIMIT_BYTES, VERSION_LIMIT
from iotcache.decode.limits import DEPTH_LIMIT, is_too_deep
from iotcache.errors import UsageError
from iotcache.model import Document, DocumentKind, DocumentName

if TYPE_CHECKING:
    from iotcache.cache import DeviceCache
    from iotcache.mqtt import MqttLink

_TRIES: Final = 5


class PushResult(Struct, frozen=True):
    """The outcome of a push."""

    device: str
    version: int
    stored: bool
    """It is the device's configuration now. If not, `stored_version` is."""
    stored_version: int
    """The version that the store has now."""
    cached: bool = False
    topic: str = ""
    """Where it was published, retained; empty when it was not."""


async def push_config(
    cache: DeviceCache,
    device: str,
    content: Mapping[str, Any],
    *,
    version: int | None = None,
    site: str = "",
    link: MqttLink | None = None,
    topics: Sequence[str] = (),
    clock: Clock = SYSTEM_CLOCK,
) -> PushResult:
    """Make ``content`` the configuration of ``device``; ``version`` is the next one if it is not given.

    With a ``link`` it is published as well, retained, on the device's ``cfg`` topic after the first of
    ``topics`` (`ingest.topics`) that has a `{sensor}` level; the ingest worker that gets it finds it
    stored already.
    A version that is not above the stored one changes nothing anywhere, unless it is that very one.
    ``site`` is looked up if it is not given.

    Raises `UsageError` for content that cannot be pushed, `StoreError`, and `BrokerError` when it is stored
    but could not be published.
    """
    name = DocumentName(device, DocumentKind.CONFIG)
    cache.keys.config(device)  # raises for a name that cannot be
    documents = cache.store.documents
    site = site or await _site(cache, device)
    topic = _topic(topics, site, device) if link is not None else ""
    for _ in range(_TRIES):
        before = (await documents.find([name])).get(name)
        number = version if version is not None else (before.version if before else 0) + 1
        document = _document(device, content, number, site=site, at_us=round(clock.now() * 1e6))
        if await documents.upsert([document]):
            break
        if version is not None:
            break
    now_stored = (await documents.find([name])).get(name)
    if now_stored is None or (now_stored.version, now_stored.content) != (number, document.content):
        # Out of service, or somebody else was first.
        return PushResult(device, number, False, now_stored.version if now_stored else 0)
    cached = await cache.put_documents([now_stored]) == 1
    if link is not None:
        await link.publish(topic, document.content.encode(), retain=True)
    return PushResult(device, number, True, number, cached, topic)


def _document(device: str, content: Mapping[str, Any], version: int, *, site: str, at_us: int) -> Document:
    if not 0 <= version <= VERSION_LIMIT:
        raise UsageError(f"a configuration's version is a whole number from 0 to 2^63-1, not {version}")
    try:
        text = msgspec.json.encode({**content, "version": version}).decode()
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise UsageError(f"the configuration cannot be written as JSON: {error}") from error
    if is_too_deep(text.encode()):
        raise UsageError(f"the configuration is nested deeper than {DEPTH_LIMIT} objects and arrays")
    if len(text.encode()) > DOCUMENT_LIMIT_BYTES:
        raise UsageError(f"the configuration is longer than {DOCUMENT_LIMIT_BYTES} bytes as JSON")
    return Document(device, DocumentKind.CONFIG, version, text, site, at_us)


async def _site(cache: DeviceCache, device: str) -> str:
    sensors = await cache.store.documents.sensors([device])
    return sensors[-1].site if sensors else ""


def _topic(templates: Sequence[str], site: str, device: str) -> str:
    """The device's ``cfg`` topic. Raises `UsageError` where there can be none."""
    if any(sign in device or sign in site for sign in "/+#\0"):
        raise UsageError("a name with '/', '+' or '#' has no topic of its own")
    for template in templates:
        levels = template.split("/")
        if {"{device}", "{sensor}"} <= set(levels) and "+" not in levels and "#" not in levels:
            if "{site}" in levels and not site:
                raise UsageError(f"the topic {template} needs the device's site, which is not known: name it")
            named = {"{site}": site, "{device}": device, "{sensor}": "cfg"}
            return "/".join(named.get(level, level) for level in levels)
    raise UsageError("none of ingest.topics has a place for a configuration: it needs {device} and {sensor}")
