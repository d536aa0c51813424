"""What one check found."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Struct


class Finding(Struct, frozen=True):
    """One line of the doctor's report."""

    what: str
    level: Literal["ok", "warn", "fail"]
    found: str
    mend: str = ""
    """What to do about it; empty when all is well."""

    def as_dict(self) -> dict[str, Any]:
        return msgspec.structs.asdict(self)
