"""The types that the modules of the PostgreSQL store share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import psycopg

Row = tuple[Any, ...]
Connection = psycopg.AsyncConnection[Row]
Begin = Callable[[], AbstractAsyncContextManager[Connection]]
"""A transaction on the connection that writes."""
Query = Callable[..., Awaitable[list[Row]]]
"""All rows of one statement, on a connection that reads."""
