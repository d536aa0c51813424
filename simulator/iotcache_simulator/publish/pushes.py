"""What is pushed to devices, read: configurations and commands. Anybody may have sent it: all is checked."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from iotcache.decode.incoming import epoch_us
from iotcache.decode.limits import is_too_deep
from iotcache.decode.outcomes import Refused
from iotcache.text import printable

CONFIGURATION: Final = "cfg"
COMMAND: Final = "cmd"
REPORTED: Final = "reported"
COMMANDS: Final = ("ping", "birth", "pause", "reboot")
PUSH_LIMIT_BYTES: Final = 256 * 1024
"""What the worker keeps of a configuration, too."""
_INTERVALS_MAX: Final = 1_000
_Seconds = Annotated[float, Meta(gt=0, le=1e7)]


class Unusable(Exception):
    """Why a push is not followed; the text is safe to show."""


class PushedConfiguration(Struct, frozen=True):
    """The payload of ``iot/{site}/{device}/cfg``; fields of others are passed over."""

    version: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    interval_s: dict[str, _Seconds] = {}
    """How often each sensor is to report."""
    ts: float | Annotated[datetime, Meta(tz=True)] | None = None
    """When it was pushed."""


class PushedCommand(Struct, frozen=True):
    """The payload of ``iot/{site}/{device}/cmd/{name}``."""

    id: str | int | None = None
    """Said again in the answer."""
    for_s: _Seconds | None = None
    ts: float | Annotated[datetime, Meta(tz=True)] | None = None


class Reported(Struct, frozen=True, omit_defaults=True):
    """What a device answers on ``iot/{site}/{device}/reported/{what}``."""

    device: str
    status: str
    """``applied``, ``done`` or ``rejected``; a device that applied the half of it says ``applied``."""
    ts: str
    version: int | None = None
    interval_s: dict[str, float] | None = None
    """How often each sensor reports now."""
    id: str | int | None = None
    error: str = ""


def read_configuration(payload: bytes) -> PushedConfiguration:
    """Raises `Unusable`."""
    configuration: PushedConfiguration = _read(payload, PushedConfiguration)
    if len(configuration.interval_s) > _INTERVALS_MAX:
        raise Unusable(f"it names {len(configuration.interval_s):,} intervals")
    return configuration


def read_command(name: str, payload: bytes) -> PushedCommand:
    """Raises `Unusable`."""
    if name not in COMMANDS:
        raise Unusable(f"there is no command {printable(name, 40)!r}; there are {', '.join(COMMANDS)}")
    command: PushedCommand = _read(payload or b"{}", PushedCommand)
    if isinstance(command.id, str) and len(command.id) > 200:
        raise Unusable("its id is too long")
    return command


def pushed_us(ts: float | datetime | None, received_us: int) -> int:
    """When a push was sent: by its own ``ts``, unless that is none or ahead of its receipt."""
    try:
        return min(epoch_us(ts, received_us), received_us)
    except (Refused, ValueError, OverflowError):
        return received_us


def _read(payload: bytes, kind: type[Any]) -> Any:
    if len(payload) > PUSH_LIMIT_BYTES:
        raise Unusable(f"it has {len(payload):,} bytes; {PUSH_LIMIT_BYTES:,} are allowed")
    if is_too_deep(payload):
        raise Unusable("it is nested too deeply")
    try:
        return msgspec.json.decode(payload, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise Unusable(printable(str(error), 200)) from None
