"""Mappings of well-known fleets, a TOML file each: ``ingest.preset = "tasmota"``.

A file is a configuration of its own: what it holds can be copied into another and changed.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import msgspec
from msgspec import Struct

from iotcache.decode.mapping.settings import IngestMapping


class Preset(Struct, frozen=True, forbid_unknown_fields=True):
    """What a preset's ``[ingest]`` holds."""

    topics: tuple[str, ...] = ()
    mapping: tuple[IngestMapping, ...] = ()


class PresetFile(Struct, frozen=True, forbid_unknown_fields=True):
    """A file with mappings alone."""

    ingest: Preset


@cache
def preset_names() -> tuple[str, ...]:
    """The presets that there are."""
    return tuple(
        sorted(
            one.name.removesuffix(".toml") for one in files(__name__).iterdir() if one.name.endswith(".toml")
        )
    )


def preset_text(name: str) -> str:
    """A preset's file, without what it tells editors here. ``name`` is one of `preset_names`."""
    lines = (files(__name__) / f"{name}.toml").read_text("utf-8").splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("#:schema"))


@cache
def load_preset(name: str) -> Preset:
    """A preset, read. ``name`` is one of `preset_names`."""
    import tomli

    return msgspec.convert(tomli.loads(preset_text(name)), PresetFile).ingest


def summary(name: str) -> str:
    """A preset's first line, which says what it is for."""
    return preset_text(name).partition("\n")[0].lstrip("# ")
