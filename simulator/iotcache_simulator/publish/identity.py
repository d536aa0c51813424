"""Who each connection says that it is: client id, user name and certificate, from templates."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from iotcache.errors import ConfigError, UsageError
from iotcache.text import printable
from iotcache_simulator.publish.plan.spec import FleetSpec
from iotcache_simulator.wire.connection import BrokerTarget

OF_DEVICE: Final = ("device", "site", "class", "number")
OF_CONNECTION: Final = ("connection", "tag")
_FIELD: Final = re.compile(r"\{(\w*)\}")


def filled(template: str, fields: Mapping[str, str]) -> str:
    """A template with its fields."""
    return _FIELD.sub(lambda found: fields[found[1]], template)


def identified(target: BrokerTarget, spec: FleetSpec, fields: Mapping[str, str]) -> BrokerTarget:
    """The broker as one connection logs in there. Raises `ConfigError` for a missing certificate or
    password."""
    if spec.user:
        target = msgspec.structs.replace(target, username=filled(spec.user, fields))
    if target.passwords is not None:
        user = target.username or ""
        if user not in target.passwords:
            raise ConfigError(f"{spec.password_file} has no password of {printable(user, 80)!r}")
        target = msgspec.structs.replace(target, password=target.passwords[user])
    if target.devices_tls is not None and "device" in fields:
        target.devices_tls.check(fields["device"])
        target = msgspec.structs.replace(target, tls=target.devices_tls, device=fields["device"])
    return target


def check_identity(spec: FleetSpec) -> None:
    """Raises `UsageError` for templates that this run cannot fill, or that do not tell connections apart."""
    if spec.password_file and not spec.user:
        raise UsageError("--password-file needs the user names: --user TEMPLATE")
    known = (*OF_DEVICE, *OF_CONNECTION) if spec.own_connections else OF_CONNECTION
    for flag, template in (("--client-id", spec.client_id), ("--user", spec.user)):
        for field in _FIELD.findall(template):
            if field in OF_DEVICE and not spec.own_connections:
                raise UsageError(f"{flag}: {{{field}}} needs --connections devices: here devices share one")
            if field not in known:
                raise UsageError(f"{flag}: there is no {{{field}}}; there are {', '.join(known)}")
    fields = set(_FIELD.findall(spec.client_id))
    alone = spec.processes == 1 and spec.shard[1] == 1
    several = spec.connections > 1 or not alone
    apart = "device" in fields or ("connection" in fields and (alone or "tag" in fields))
    if spec.client_id and several and not apart:
        raise UsageError(
            "--client-id: two connections of one name would throw each other out: "
            "add {device}, or {tag} and {connection}"
        )
    if spec.cert_dir and not spec.own_connections:
        raise UsageError("--cert-dir needs --connections devices: a certificate is one device's")
