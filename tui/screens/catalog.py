"""Which screens there are, under which keys; each is imported when it is first shown."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from tui.app import IotCacheApp
    from tui.screens.view import ViewScreen


class Entry(Struct, frozen=True):
    """One screen: ``place`` is ``module:class``."""

    key: str
    name: str
    title: str
    place: str
    what: str
    """For the palette and the help, in one line."""


SCREENS = (
    Entry("1", "fleet", "Fleet", "tui.screens.fleet:FleetScreen", "Every series and its cache entry"),
)  # fmt: skip


def build(entry: Entry, app: IotCacheApp) -> ViewScreen:
    """The screen of an entry, made for ``app``."""
    module, _, name = entry.place.partition(":")
    screen: ViewScreen = getattr(importlib.import_module(module), name)(app.state, app.settings)
    return screen
