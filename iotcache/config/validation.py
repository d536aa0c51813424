"""What each setting may be: its type in a person's words, its range, its form."""

from __future__ import annotations

import ipaddress
import math
import re
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from msgspec import Meta

from iotcache.config.fields import fields
from iotcache.config.node_lists import NODE_LIST_FORM, is_node_list, parse_node_list_url
from iotcache.config.parts import absent_parts, named_parts
from iotcache.config.schema import BrokerSettings, CacheSettings, HttpSettings, Settings
from iotcache.config.urls import mask, parse_broker, parse_embedded_nodes, parse_hook, parse_node, parse_store
from iotcache.errors import ConfigError
from iotcache.text import printable

Check = Callable[[Any], None]
"""Raises `ValueError` with what is allowed."""


def describe(kind: Any) -> str:
    """A type in a person's words."""
    origin = get_origin(kind)
    if origin is Literal:
        return " or ".join(f'"{one}"' if isinstance(one, str) else str(one) for one in get_args(kind))
    if origin in (Union, types.UnionType):
        return " or ".join(describe(one) for one in get_args(kind) if one is not type(None))
    if origin is Annotated:
        inner, *limits = get_args(kind)
        return next((allowed_range(one) for one in limits if isinstance(one, Meta)), describe(inner))
    if origin is tuple:
        return "a list of texts"
    if origin is dict:
        return "a table of texts" if get_args(kind)[1] is str else "a table of texts, numbers, true and false"
    return {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}[kind]


def allowed_range(meta: Meta) -> str:
    """The range of a number in a person's words."""
    if meta.gt is not None:
        return f"a number above {meta.gt:g}"
    return f"a number from {meta.ge:g} to {meta.le:g}"


def check_range(value: float, meta: Meta) -> None:
    """Raises `ValueError` with what is allowed."""
    above = meta.gt is None or value > meta.gt
    within = (meta.ge is None or value >= meta.ge) and (meta.le is None or value <= meta.le)
    if not (above and within and math.isfinite(value)):
        raise ValueError(allowed_range(meta))


def _broker(url: str) -> None:
    if url not in ("embedded", "none"):
        try:
            parse_broker(url)
        except ConfigError as error:
            raise ValueError(f'"embedded", "none" or a URL such as mqtt://host:1883 ({error})') from None


def _store(url: str) -> None:
    if url not in ("embedded", "none"):
        try:
            parse_store(url)
        except ConfigError as error:
            raise ValueError(f'"embedded", "none", sqlite:///file or postgresql://… ({error})') from None


def _nodes(nodes: str | tuple[str, ...]) -> None:
    if isinstance(nodes, str):
        if is_node_list(nodes):
            parse_node_list_url(nodes)
        elif nodes != "none" and parse_embedded_nodes(nodes) is None:
            raise ValueError(
                '"embedded:3", "none", a list such as ["cache1:11211", "cache2:11211=2"], or a place that '
                f"keeps one: {NODE_LIST_FORM}"
            )
        return
    if not nodes:
        raise ValueError("a list of at least one node")
    parsed = [parse_node(node) for node in nodes]
    names = [node.name for node in parsed] + [node.ring_name for node in parsed if node.ring_name]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise ValueError(f"a list that names each node once ({twice} stands twice)")


def _topics(topics: tuple[str, ...]) -> None:
    from iotcache.decode.topics import TopicTemplate

    for topic in topics:
        try:
            TopicTemplate(topic)
        except ConfigError as error:
            raise ValueError(f"templates such as iot/{{site}}/{{device}}/{{sensor}} ({error})") from None


def _zone(name: str) -> None:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    if name != "local":
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError('"local", "UTC" or a name such as Europe/Berlin') from None


def _fields(key: str) -> Check:
    """The check of one field of ``[ingest.fields]``: the compiler of mappings says what is wrong."""

    def check(value: object) -> None:
        from msgspec import structs

        from iotcache.decode.mapping.reader import FieldReader
        from iotcache.decode.mapping.settings import FieldPaths

        FieldReader(structs.replace(FieldPaths(), **{key: value}))

    return check


def _preset(given: str | tuple[str, ...]) -> None:
    from iotcache.config.presets import preset_names

    known = preset_names()
    for name in (given,) if isinstance(given, str) else given:
        if name not in known:
            raise ValueError(f"one or more of {', '.join(known)}")


_LISTEN = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")


def _listen(text: str) -> None:
    match = _LISTEN.fullmatch(text)
    if not match or int(match[2]) > 65535:
        raise ValueError("host:port, with port 0 for a free one")


def _prefix(text: str) -> None:
    if not re.fullmatch(r"[\x21-\x7e]{0,64}", text) or "#" in text:
        raise ValueError("up to 64 printable ASCII characters without blanks and '#'")


def _client_id(text: str) -> None:
    if not re.fullmatch(r"[\x21-\x7e]{1,100}", text) or any(sign in text for sign in "/+#"):
        raise ValueError("1 to 100 printable ASCII characters without '/', '+' and '#'")


def _webhook(text: str) -> None:
    if text:
        parse_hook(text)


FIELD_KEYS = ("readings", "value", "ts", "zone", "device", "sensor", "site", "unit", "seq", "boot")
CHECKS: Mapping[str, Check] = {
    "broker.url": _broker,
    "cache.nodes": _nodes,
    "cache.prefix": _prefix,
    "store.url": _store,
    "ingest.topics": _topics,
    "ingest.client_id": _client_id,
    "ingest.group": lambda text: _client_id(text) if text else None,
    "ingest.preset": _preset,
    **{f"ingest.fields.{key}": _fields(key) for key in FIELD_KEYS},
    "alerting.webhook": _webhook,
    "http.listen": _listen,
    "dashboard.time_zone": _zone,
}


def check_together(settings: Settings) -> str | None:
    """What two settings that are each fine make impossible, as a sentence; ``None`` when all fits."""
    ttl, breaker = settings.cache.ttl, settings.cache.breaker
    if ttl.volatile_min_s > ttl.volatile_max_s:
        return (
            f"cache.ttl.volatile_min_s is {ttl.volatile_min_s:g}, "
            f"above cache.ttl.volatile_max_s, which is {ttl.volatile_max_s:g}"
        )
    ingest = settings.ingest
    if not ingest.topics and not ingest.mapping and not ingest.preset:
        return (
            "ingest.topics is empty: allowed is a list of at least one topic template, a mapping or a preset"
        )
    if ingest.group and settings.broker.url == "embedded":
        return (
            f"ingest.group is {ingest.group!r}, and the embedded broker has no shared subscriptions "
            "that survive a worker's end: leave it empty, or name a broker in broker.url"
        )
    if breaker.open_min_s > breaker.open_max_s:
        return (
            f"cache.breaker.open_min_s is {breaker.open_min_s:g}, "
            f"above cache.breaker.open_max_s, which is {breaker.open_max_s:g}"
        )
    return (
        _rules_and_mappings(settings)
        or _parts_together(settings)
        or _broker_together(settings.broker)
        or _cache_together(settings.cache)
        or _http(settings.http)
    )


def _rules_and_mappings(settings: Settings) -> str | None:
    """Most programs have none of their own of either, and need nothing that reads them."""
    if settings.alerts is not fields()["alerts"].default:
        from iotcache.config.alert_rules import wrong_rule

        if wrong := wrong_rule(settings.alerts):
            return wrong
    if settings.ingest.mapping:
        from iotcache.config.mappings import wrong_mapping

        return wrong_mapping(settings.ingest.mapping)
    return None


def _parts_together(settings: Settings) -> str | None:
    """What is switched on by name needs its servers, and something must be there to be looked at."""
    absent = absent_parts(settings)
    if absent and not named_parts(settings):
        return f'{absent[0]} is "none" and no server is named: there is nothing to look at'
    for name, enabled, needed in (
        ("ingest", settings.ingest.enabled, absent),
        ("simulator", settings.simulator.enabled, [key for key in absent if key == "broker.url"]),
    ):
        if enabled is True and needed:
            return f'{name}.enabled is true, and {needed[0]} is "none": name a server, or leave it "embedded"'
    return None


def _broker_together(broker: BrokerSettings) -> str | None:
    if bool(broker.tls_cert_file) != bool(broker.tls_key_file):
        return "broker.tls_cert_file and broker.tls_key_file go together: set both or neither"
    files = {name: getattr(broker, name) for name in ("tls_ca_file", "tls_cert_file", "tls_key_file")}
    named = next((name for name, file in files.items() if file), None)
    if named and broker.url.startswith(("mqtt://", "ws://")):
        return f"broker.{named} needs an mqtts:// or wss:// URL, and broker.url is {mask(broker.url)}"
    outside = broker.url not in ("embedded", "none")
    if outside and broker.password and not broker.username and broker.protocol == "3.1.1":
        # MQTT 3.1.1, section 3.1.2.9: without a user name there can be no password.
        return "broker.password is set without broker.username, which MQTT 3.1.1 does not allow: set both"
    if not broker.url.startswith(("mqtts://", "wss://")):
        return None
    wrong = (_unreadable(f"broker.{name}", file) for name, file in files.items() if file)
    return next((text for text in wrong if text), None)


def _cache_together(cache: CacheSettings) -> str | None:
    if cache.tls_ca_file and not cache.tls:
        return "cache.tls_ca_file needs cache.tls = true"
    if (
        cache.password
        and not cache.username
        and (is_node_list(cache.nodes) or not isinstance(cache.nodes, str))
    ):
        return "cache.password is set without cache.username: set both"
    return _unreadable("cache.tls_ca_file", cache.tls_ca_file) if cache.tls_ca_file else None


def _http(http: HttpSettings) -> str | None:
    if http.enabled is False or http.token or _loopback(http.listen.rpartition(":")[0].strip("[]")):
        return None
    return (
        f"http.listen is {http.listen}, which other machines reach: "
        "set http.token or http.token_file, or listen on 127.0.0.1"
    )


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _unreadable(key: str, file: str) -> str | None:
    try:
        with Path(file).open("rb"):
            return None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "its name holds a NUL"
        return f"{key} is {printable(file, 120)}, which cannot be read: {why}"
