"""Configuration: found, merged, validated in one place, handed out as typed structs."""

from __future__ import annotations

from iotcache.config.load import LoadedSettings, load
from iotcache.config.schema import Settings

__all__ = ["LoadedSettings", "Settings", "load"]
