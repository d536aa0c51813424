"""How many inputs Hypothesis makes of a grammar: few in the suite, 5,000 of each by ``make examples``."""

from __future__ import annotations

import os


def examples(usual: int) -> int:
    """``usual``, unless the environment asks for more."""
    return max(usual, int(os.environ.get("EXAMPLES", "0")))
