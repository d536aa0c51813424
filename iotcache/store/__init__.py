"""Durable stores behind one small interface."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotcache.config.urls import parse_store
from iotcache.errors import ConfigError

if TYPE_CHECKING:
    from iotcache.config.schema import StoreSettings
    from iotcache.store.base import Store

__all__ = ["open_store"]


def open_store(settings: StoreSettings, *, read_only: bool = False) -> Store:
    """The store that ``settings.url`` names; only its own backend is imported.

    It connects when entered (``async with open_store(…) as store``).
    Raises `ConfigError` for a URL of no known store.
    """
    if settings.url == "embedded":
        raise ConfigError('store.url is "embedded": such a store has an address only while a stack runs')
    if settings.url == "none":
        raise ConfigError('store.url is "none": there is no store to read')
    address = parse_store(settings.url)
    if address.path is not None:
        from iotcache.store.sqlite.store import SqliteStore

        return SqliteStore(address.path, busy_timeout_s=settings.busy_timeout_s, read_only=read_only)
    from iotcache.store.postgres.store import PostgresStore

    return PostgresStore(
        address.url,
        password=settings.password,
        read_only=read_only,
        retention_days=settings.retention_days,
    )
