"""JSON with numbers that JSON does not have: ``nan``, ``Infinity``, ``1e400``, as programs in C print them.

One sensor that failed would take the others of its message with it. Read this way only what strict JSON is
not: such a number becomes a float that is no measurement, and is refused alone.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

_PIECES: Final = re.compile(
    rb'("[^"\\]*(?:\\.[^"\\]*)*")|((?<![\w.+-])[+-]?(?:nan|inf(?:inity)?)\b)', re.I | re.S
)


def numbers_that_are_none(text: bytes) -> Any:
    """What JSON holds with such numbers in it. Raises `ValueError` for anything else that is no JSON."""
    content = json.loads(_PIECES.sub(lambda found: found[1] or b"NaN", text))
    # Half of a surrogate pair is no text, which Python's reader does not mind: then this raises.
    json.dumps(content, ensure_ascii=False).encode()
    return content
