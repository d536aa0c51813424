"""What children of ours are given of our environment, and how much of it goes to one from the fork server."""

from __future__ import annotations

import os
from typing import Final

MESSAGE_BYTES: Final = 128 * 1024
"""The most that a request to the fork server takes: an environment is the larger part of it."""


def child_environment() -> dict[str, str]:
    """Our environment without our own variables: children get their settings, secrets included, on stdin."""
    return {name: value for name, value in os.environ.items() if not name.startswith("IOTCACHE_")}
