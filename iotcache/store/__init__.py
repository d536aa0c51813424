"""Durable stores behind one small interface."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from iotcache.errors import ConfigError

if TYPE_CHECKING:
    from iotcache.config.schema import StoreSettings
    from iotcache.store.base import Store

__all__ = ["open_store"]

_SQLITE = "sqlite:///"


def open_store(settings: StoreSettings, *, read_only: bool = False) -> Store:
    """The store that ``settings.url`` names; only its own backend is imported.

    It connects when entered (``async with open_store(…) as store``).
    Raises `ConfigError` for a URL of no known store.
    """
    url = settings.url
    if url.startswith(_SQLITE) and len(url) > len(_SQLITE):
        from iotcache.store.sqlite import SqliteStore

        return SqliteStore(
            Path(url[len(_SQLITE) :]), busy_timeout_s=settings.busy_timeout_s, read_only=read_only
        )
    if url.startswith(("postgresql://", "postgres://")):
        from iotcache.store.postgres import PostgresStore

        return PostgresStore(url, password=settings.password, read_only=read_only)
    raise ConfigError(
        "store.url is to be sqlite:///FILE or postgresql://USER@HOST/DATABASE"
        + (": an embedded store has an address only while a stack runs" if url == "embedded" else "")
    )
