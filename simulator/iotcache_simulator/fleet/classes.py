"""Device classes: what a kind of device measures, read from TOML files.

The shipped ones lie beside this module in ``classes/``; a user's file is read the same way.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.resources import files

from iotcache.errors import ConfigError
from iotcache_simulator.fleet.contradictions import contradictions
from iotcache_simulator.fleet.definition import DeviceClass
from iotcache_simulator.fleet.toml_file import complaint, read, read_file
from iotcache_simulator.fleet.waves.kinds import WAVE_KINDS

_SHIPPED_ORDER = ("cold-room", "hvac", "pump", "power-meter", "truck", "gateway")


@cache
def shipped_classes() -> tuple[DeviceClass, ...]:
    """The classes that come with the program, in a fixed order."""
    folder = files("iotcache_simulator.fleet") / "classes"
    return tuple(
        parse_class((folder / f"{name}.toml").read_text("utf-8"), f"{name}.toml") for name in _SHIPPED_ORDER
    )


PRESETS = (
    "aws-shadow", "chirpstack", "home-assistant-discovery", "homie", "rtl_433", "shelly-gen2", "sparkplug",
    "tasmota", "ttn", "zigbee2mqtt",
)  # fmt: skip
"""Fleets of others that can be published, by the names of the presets that read them (``ingest.preset``)."""


def preset_classes(name: str) -> tuple[DeviceClass, ...]:
    """The devices of a preset. Raises `ConfigError` for a name that there is not."""
    if name not in PRESETS:
        raise ConfigError(f"there is no preset {name!r}: there are {', '.join(PRESETS)}")
    if name == "sparkplug":  # a protocol, which any devices speak
        return shipped_classes()
    file = files("iotcache_simulator.fleet") / "presets" / f"{name}.toml"
    return (parse_class(file.read_text("utf-8"), f"{name}.toml"),)


def load_classes(names_or_files: Iterable[str] = ()) -> tuple[DeviceClass, ...]:
    """The classes asked for: names of shipped ones or paths of TOML files; all shipped ones for none.

    Raises `ConfigError` with one sentence that names the file, the line and the key.
    """
    wanted = tuple(names_or_files)
    if not wanted:
        return shipped_classes()
    shipped = {kind.name: kind for kind in shipped_classes()}
    found: dict[str, DeviceClass] = {}
    for item in wanted:
        if item in shipped:
            kind = shipped[item]
        elif item.endswith(".toml") or "/" in item:
            kind = parse_class(read_file(item, "device class"), item)
        else:
            raise ConfigError(
                f"there is no device class {item!r}: name one of {', '.join(shipped)}, or a .toml file"
            )
        if found.setdefault(kind.name, kind) != kind:
            raise ConfigError(f"two of the device classes are named {kind.name!r}")
    prefixes = [kind.prefix or kind.name for kind in found.values()]
    if len(set(prefixes)) < len(prefixes):
        raise ConfigError("two of the device classes give their devices the same prefix")
    if not any(kind.weight for kind in found.values()):
        raise ConfigError("every device class has weight 0, so no device could be made")
    return tuple(found.values())


def parse_class(text: str, file: str) -> DeviceClass:
    """The class that a TOML text describes. Raises `ConfigError` naming ``file``, line and key."""
    kind = read(text, file, DeviceClass, WAVE_KINDS)
    for path, reason in contradictions(kind):
        raise complaint(file, text, reason, path)
    return kind
