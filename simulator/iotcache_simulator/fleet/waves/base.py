"""What all waves have in common, and how those of a class refer to each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final, Generic, TypeVar

from msgspec import Meta, Struct

from iotcache_simulator.fleet.waves.noise import stream_key

F = TypeVar("F")

Function = Callable[[int, float], float]
"""``(key of the device, virtual time in seconds) -> value``."""

DAY_S: Final = 86_400.0
YEAR_S: Final = 365.25 * DAY_S
KM_PER_DEGREE: Final = 111.2

Positive = Annotated[float, Meta(gt=0)]
Length = Annotated[float, Meta(ge=0.001)]
"""Seconds: what a wave does within less than a millisecond no payload could show."""
Share = Annotated[float, Meta(ge=0, le=1)]


def wave_salt(sensor: str, number: int) -> int:
    """What tells a sensor's wave from all others of its class."""
    return stream_key(0, "wave", sensor, str(number))


class WaveBase(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    """A description of a wave. Each has a function; some have its integral in closed form as well."""

    def compile(self, salt: int, peers: Peers[Function]) -> Function:
        """The wave's function. ``salt`` is its own; ``peers`` are the quantities of its class."""
        raise NotImplementedError

    def integral(self, salt: int, peers: Peers[Function]) -> Function:
        """The antiderivative of the wave's function over seconds, up to a constant."""
        raise NotImplementedError

    def references(self) -> tuple[str, ...]:
        """The quantities of its class that it is made of."""
        return ()

    def states_of(self) -> tuple[str, ...]:
        """The texts whose numbers it gives; empty for a wave that gives numbers or truth values."""
        return ()

    def why_no_integral(self) -> str:
        """Why its integral has no closed form; empty when it has one."""
        return f"of a {self.__struct_config__.tag} wave there is no integral in closed form"


class Peers(Generic[F]):
    """The quantities of one class, each compiled when another first refers to it.

    Once for plain functions and once for arrays: ``make`` and ``integrate`` compile a wave, ``add`` makes one
    function of several.
    """

    def __init__(
        self,
        waves: Mapping[str, Sequence[Any]],
        make: Callable[[Any, int, Peers[F]], F],
        integrate: Callable[[Any, int, Peers[F]], F],
        add: Callable[[Sequence[F]], F],
        routes: tuple[Any, ...] = (),
    ) -> None:
        self.routes = routes
        self._waves = waves
        self._make = make
        self._integrate = integrate
        self._add = add
        self._functions: dict[str, F] = {}

    def __getitem__(self, name: str) -> F:
        """The sum of a quantity's waves."""
        function = self._functions.get(name)
        if function is None:
            function = self._functions[name] = self._sum(name, self._make)
        return function

    def integral(self, name: str) -> F:
        """The antiderivative of that sum."""
        return self._sum(name, self._integrate)

    def states(self, name: str) -> tuple[str, ...]:
        """The states whose numbers a quantity gives, false and true for a boolean one."""
        states: tuple[str, ...] = self._waves[name][0].states_of()
        return states or ("false", "true")

    def _sum(self, name: str, compiled: Callable[[Any, int, Peers[F]], F]) -> F:
        parts = [compiled(wave, wave_salt(name, n), self) for n, wave in enumerate(self._waves[name])]
        return self._add(parts)
