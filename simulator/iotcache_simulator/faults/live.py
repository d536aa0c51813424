"""Faults toggled while the fleet runs: what is wished for now, and the journal of when each began and ended.

A wish is the whole set of faults that are to hold from now on. What the fleet has rendered already stays as
it is: a fault begins where rendering stands. With the journal, the stream is a pure function again.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from iotcache.errors import ConfigError
from iotcache_simulator.faults.kinds import FAULT_KINDS, Fault
from iotcache_simulator.faults.schedule import unusable
from iotcache_simulator.fleet.roster import Roster
from iotcache_simulator.fleet.toml_file import describe_error

LOAD_MIN, LOAD_MAX = 0.01, 100.0
FAULTS_MAX = 100
"""In one wish."""
JOURNAL_MAX = 10_000
_MICRO = 1_000_000


class FaultRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The payload of a control message. An empty one wishes for no fault and the rate asked for."""

    faults: tuple[Fault, ...] = ()
    load: Annotated[float, Meta(ge=LOAD_MIN, le=LOAD_MAX)] = 1.0
    """The rate, as a factor of that asked for."""


def parse_request(payload: bytes, roster: Roster) -> FaultRequest:
    """A control message. Raises `ConfigError` with one sentence."""
    try:
        content = msgspec.json.decode(payload or b"{}")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"the control message cannot be used: {error}") from None
    try:
        request = msgspec.convert(content, FaultRequest)
    except msgspec.ValidationError as error:
        reason = describe_error(error, content, FaultRequest, FAULT_KINDS)
        raise ConfigError(f"the control message cannot be used: {reason}") from None
    if len(request.faults) > FAULTS_MAX:
        raise ConfigError(f"the control message holds {len(request.faults)} faults; {FAULTS_MAX} are allowed")
    for fault in request.faults:
        if fault.at_s:
            raise ConfigError("the control message cannot be used: a fault begins at once, without at_s")
        if wrong := unusable(fault, roster):
            raise ConfigError(f"the control message cannot be used: {wrong[1]}")
    return request


class Journal:
    """The faults of a run: those of its file, and after them each live one with its times."""

    def __init__(self, scheduled: tuple[Fault, ...]) -> None:
        self._scheduled = scheduled
        self.live: list[Fault] = []
        self._active: list[tuple[Fault, int]] = []
        """What was wished for, and its place in `live`."""

    @property
    def faults(self) -> tuple[Fault, ...]:
        return (*self._scheduled, *self.live)

    @property
    def active(self) -> tuple[Fault, ...]:
        """The wish that holds."""
        return tuple(fault for fault, _ in self._active)

    def apply(self, faults: tuple[Fault, ...], at_us: int) -> bool:
        """Let ``faults`` hold from ``at_us`` (µs since the start) on; whether that changed anything.

        Raises `ConfigError` when the journal is full.
        """
        left = list(faults)
        still_active: list[tuple[Fault, int]] = []
        ended: list[int] = []
        for fault, index in self._active:
            if fault in left:
                left.remove(fault)
                still_active.append((fault, index))
            else:
                ended.append(index)
        if len(self.live) + len(left) > JOURNAL_MAX:
            raise ConfigError(f"this run has seen {JOURNAL_MAX:,} live faults; no more are possible")
        at_s = at_us / _MICRO
        for index in ended:
            self.live[index] = _ended(self.live[index], at_s)
        for fault in left:
            still_active.append((fault, len(self.live)))
            self.live.append(msgspec.structs.replace(fault, at_s=at_s))
        self._active = still_active
        return bool(ended or left)


def _ended(fault: Fault, at_s: float) -> Fault:
    if fault.for_s is not None and fault.at_s + fault.for_s <= at_s:
        return fault
    return msgspec.structs.replace(fault, for_s=max(at_s - fault.at_s, 1e-6))
