"""What both stores agree on about reading all figures of a site's sensor in a stretch of time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import Struct

from iotcache.store.rows import give_text

SERIES_PAGE: Final = 200
"""Series that one page of figures is of: it bounds the rows of an answer, as a series has its interval."""


class WindowPage(Struct, frozen=True, gc=False):
    """Some of the figures; ask for what is above ``last`` until that is 0."""

    figures: list[tuple[int, float]]
    """``ts_us`` and value, in no order; truth values are 0 or 1, texts are left out."""
    last: int


def of_site(rows: Iterable[tuple[Any, ...]], site: str) -> Iterable[tuple[Any, ...]]:
    """Those of ``rows``, which end in ``odd`` and the series' site, that were sent from ``site``."""
    for row in rows:
        odd = row[-2]
        own = msgspec.json.decode(odd).get("site", row[-1]) if odd else row[-1]
        if give_text(own) == site:
            yield row
