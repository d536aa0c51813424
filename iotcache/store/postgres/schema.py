"""The tables of the PostgreSQL store, as numbered steps. A step once released is never edited: add the next.

They live in a schema of their own, so that they can share a database with anything else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, LiteralString

from iotcache.store.postgres.identity import widen_identity
from iotcache.store.postgres.partitions import partition_readings
from iotcache.store.postgres.types import Connection

Step = LiteralString | Callable[[Connection], Awaitable[None]]
"""Statements, or what runs them where they depend on what is there."""

# `number` is for people's SQL; `exact` is the JSON text of a value that a double does not hold with its
# type (integers, truth values, texts). `odd` (overrides, in the code) is what differs from the
# series, as in the SQLite store.
# boot compares byte by byte (COLLATE "C"), as in Python, whatever the database's language.
STEPS: Final[tuple[Step, ...]] = (
    """
    CREATE TABLE series (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, device text NOT NULL, sensor text NOT NULL,
        site text NOT NULL, unit text NOT NULL, UNIQUE (device, sensor)
    );
    CREATE TABLE reading (
        series_id bigint NOT NULL, ts_us bigint NOT NULL, seq bigint NOT NULL, boot text COLLATE "C" NOT NULL,
        number double precision, exact text, received_us bigint NOT NULL, odd text,
        PRIMARY KEY (series_id, ts_us, seq, boot)
    );
    CREATE UNIQUE INDEX reading_identity ON reading (series_id, boot, seq) WHERE seq > -9223372036854775808;
    CREATE TABLE latest (
        series_id bigint PRIMARY KEY, ts_us bigint NOT NULL, seq bigint NOT NULL,
        boot text COLLATE "C" NOT NULL, number double precision, exact text, received_us bigint NOT NULL,
        unit text NOT NULL, site text NOT NULL, interval_s double precision NOT NULL,
        cached_until_us bigint NOT NULL
    ) WITH (fillfactor = 70);
    CREATE TABLE dead_letter (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, received_us bigint NOT NULL, topic text NOT NULL,
        reason text NOT NULL, payload bytea NOT NULL, digest bytea NOT NULL UNIQUE,
        times bigint NOT NULL DEFAULT 1
    );
    CREATE INDEX dead_letter_time ON dead_letter (received_us);
    CREATE TABLE total (shard integer PRIMARY KEY, readings bigint NOT NULL) WITH (fillfactor = 50);
    """,
    """
    CREATE TABLE document (
        device text COLLATE "C" NOT NULL, kind text COLLATE "C" NOT NULL, version bigint NOT NULL,
        content text NOT NULL, site text NOT NULL, at_us bigint NOT NULL, PRIMARY KEY (device, kind)
    );
    CREATE TABLE decommissioned (device text COLLATE "C" PRIMARY KEY, at_us bigint NOT NULL);
    """,
    """
    CREATE TABLE alert (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text COLLATE "C" NOT NULL,
        subject text COLLATE "C" NOT NULL, severity text NOT NULL, state text NOT NULL,
        since_us bigint NOT NULL, body text NOT NULL, value double precision, kind text NOT NULL,
        site text NOT NULL, changed_us bigint NOT NULL, acknowledged_us bigint NOT NULL,
        acknowledged_by text NOT NULL
    );
    CREATE UNIQUE INDEX alert_standing ON alert (name, subject) WHERE state <> 'cleared';
    CREATE INDEX alert_past ON alert (changed_us) WHERE state = 'cleared';
    """,
    partition_readings,
    "CREATE INDEX series_sensor ON series (sensor);",
    # Until now the reason alone told of it.
    """
    ALTER TABLE dead_letter ADD COLUMN truncated boolean NOT NULL DEFAULT false;
    UPDATE dead_letter SET truncated = true
    WHERE (length(payload) = 65536 AND reason LIKE '% are allowed (only its first %')
        OR reason LIKE 'the broker sent a PUBLISH %';
    """,
    widen_identity,
    "CREATE TABLE stale (series_id bigint PRIMARY KEY, at_us bigint NOT NULL) WITH (fillfactor = 70);",
)
