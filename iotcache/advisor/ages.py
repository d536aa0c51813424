"""How old what was served was: a histogram a group and TTL, in steps of half an octave."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_STEPS_AN_OCTAVE: Final = 4
_BINS: Final = 96
_LEAST_S: Final = 0.05
"""The first bin ends here; the last begins some nine days up."""


class Ages:
    """Ages of entries at their hits. Bounded; a quantile is the upper end of its bin, 19 % wide."""

    def __init__(self, groups: int, columns: int) -> None:
        self._counts = np.zeros((groups, columns, _BINS), np.uint32)
        self._columns = np.arange(columns)
        self._turn = 0

    def due(self, every: int) -> bool:
        """Whether this get is one of those whose ages are noted."""
        self._turn += 1
        return self._turn % every == 0

    def next_due(self, gets: int, every: int) -> int:
        """The place, among so many gets to come, of the one whose age is noted; ``gets`` or more for none."""
        place = (every - self._turn % every) - 1
        self._turn += gets
        return place

    def add(self, group: int, ages_s: NDArray[Any], counts: NDArray[Any]) -> None:
        """Note one get: an age a column, of those where ``counts`` is true."""
        steps = np.log2(np.maximum(ages_s, _LEAST_S) / _LEAST_S) * _STEPS_AN_OCTAVE
        bins = np.minimum(np.ceil(steps), _BINS - 1).astype(np.int64)
        self._counts[group, self._columns, bins] += counts

    def quantiles(self, group: int, share: float) -> tuple[float, ...]:
        """The age that ``share`` of hits do not exceed, a column each, in seconds; 0 without hits."""
        results = []
        for counts in self._counts[group]:
            sums = np.cumsum(counts)
            at = int(np.searchsorted(sums, share * sums[-1])) if sums[-1] else 0
            results.append(_LEAST_S * 2.0 ** (at / _STEPS_AN_OCTAVE) if sums[-1] else 0.0)
        return tuple(results)
