"""The statements of the PostgreSQL store."""

from __future__ import annotations

from typing import Final

LOCK: Final = 0x696F7463
"""Advisory lock (``iotc``) held while tables or series are made, so that workers do it one at a time."""

# A whole batch travels as eight arrays in one statement: no per-row message, and a plan made once.
READING_KINDS: Final = "nnntntnt"
"""Which of its columns are numbers and which texts."""
INSERT_READINGS: Final = """
    WITH stored AS (
        INSERT INTO {table} SELECT * FROM unnest(
            %s::bigint[], %s::bigint[], %s::bigint[], %s::text[], %s::float8[], %s::text[],
            %s::bigint[], %s::text[])
        ON CONFLICT DO NOTHING RETURNING tableoid AS part
    ), per_partition AS (
        SELECT relname, count(*) AS n FROM stored JOIN pg_class ON pg_class.oid = part GROUP BY relname
    ), counted AS (
        INSERT INTO iotcache.partition_total SELECT relname, pg_backend_pid() %% 64, n FROM per_partition
        ON CONFLICT (partition, shard) DO UPDATE SET readings = partition_total.readings + excluded.readings
    )
    SELECT coalesce(sum(n), 0)::bigint FROM per_partition
"""
"""The count is kept by partition, so that it is known what goes with one, and in shards, so that workers do
not wait for each other's commits to update one row."""
COPY_READINGS: Final = "COPY {table} FROM STDIN (FORMAT binary)"
COUNT_COPIED: Final = """
    WITH counted AS (
        INSERT INTO iotcache.partition_total VALUES (%s, pg_backend_pid() %% 64, %s)
        ON CONFLICT (partition, shard) DO UPDATE SET readings = partition_total.readings + excluded.readings
    )"""
"""The same for a batch that went into one partition, whole; goes before `UPSERT_LATEST`."""
# One by one (LATERAL, LIMIT): of a partition that was not analysed yet the planner knows nothing, and would
# rather read all of it.
STAMPED_BEFORE: Final = """
    SELECT n, known.ts_us, number, exact
    FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::text[])
        WITH ORDINALITY AS want (series_id, ts_us, seq, boot, n)
    CROSS JOIN LATERAL (
        SELECT reading.ts_us, number, exact FROM iotcache.reading
        WHERE reading.series_id = want.series_id AND reading.boot = want.boot AND reading.seq = want.seq
            AND reading.seq > -9223372036854775808 AND reading.ts_us < want.ts_us
            AND received_us IN (0, reading.ts_us) AND reading.ts_us >= %s AND reading.ts_us < %s
        LIMIT %s) AS known
"""
"""Readings of the same number that were stamped at an earlier receipt."""
LATEST_KINDS: Final = "nnntntnttnn"
UPSERT_LATEST: Final = """
    INSERT INTO iotcache.latest SELECT * FROM unnest(
        %s::bigint[], %s::bigint[], %s::bigint[], %s::text[], %s::float8[], %s::text[],
        %s::bigint[], %s::text[], %s::text[], %s::float8[], %s::bigint[])
    ON CONFLICT (series_id) DO UPDATE SET
        ts_us = excluded.ts_us, seq = excluded.seq, boot = excluded.boot, number = excluded.number,
        exact = excluded.exact, received_us = excluded.received_us, unit = excluded.unit,
        site = excluded.site, interval_s = excluded.interval_s, cached_until_us = excluded.cached_until_us
    WHERE (excluded.ts_us, excluded.seq, excluded.boot) >= (latest.ts_us, latest.seq, latest.boot)
    RETURNING series_id
"""
STORED_VALUES: Final = """
    SELECT n, number, exact FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::text[])
        WITH ORDINALITY AS want (series_id, ts_us, seq, boot, n)
    CROSS JOIN LATERAL (
        SELECT number, exact FROM iotcache.reading
        WHERE reading.series_id = want.series_id AND reading.ts_us = want.ts_us
            AND reading.seq = want.seq AND reading.boot = want.boot
        LIMIT 1) AS known
"""
LATEST: Final = """
    SELECT n, ts_us, seq, boot, number, exact, received_us, latest.unit, latest.site, interval_s,
        cached_until_us, received_us <= coalesce(at_us, -1)
    FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS want (device, sensor, n)
    JOIN iotcache.series USING (device, sensor) JOIN iotcache.latest ON latest.series_id = id
    LEFT JOIN iotcache.stale ON stale.series_id = id
"""
MARK_STALE: Final = """
    INSERT INTO iotcache.stale SELECT id, %s
    FROM unnest(%s::text[], %s::text[]) AS want (device, sensor) JOIN iotcache.series USING (device, sensor)
    ORDER BY id
    ON CONFLICT (series_id) DO UPDATE SET at_us = greatest(stale.at_us, excluded.at_us)
"""
ADD_SERIES: Final = """
    INSERT INTO iotcache.series (device, sensor, site, unit)
    SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[]) ON CONFLICT DO NOTHING
"""
FIND_SERIES: Final = """
    SELECT n, id, site, unit FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS want (device, sensor, n)
    JOIN iotcache.series USING (device, sensor)
"""
DIRECTORY: Final = """
    SELECT id, device, sensor, latest.site, latest.unit, interval_s
    FROM iotcache.series JOIN iotcache.latest ON series_id = id WHERE id > %s ORDER BY id LIMIT %s
"""
SERIES_OF: Final = """
    SELECT device, sensor FROM iotcache.series JOIN iotcache.latest ON series_id = id
    WHERE (device = %s OR (%s AND starts_with(device, %s))) AND latest.site = %s LIMIT %s
"""
HISTORY: Final = """
    SELECT ts_us, seq, boot, number, exact, received_us, odd, site, unit
    FROM iotcache.series JOIN iotcache.reading ON series_id = id
    WHERE device = %s AND sensor = %s AND ts_us >= %s AND ts_us < %s
    ORDER BY ts_us DESC, seq DESC, boot DESC LIMIT %s
"""
SERIES_OF_SITE: Final = """
    SELECT id FROM iotcache.series JOIN iotcache.latest ON series_id = id
    WHERE sensor = %s AND id > %s AND (series.site = %s OR latest.site = %s) ORDER BY id LIMIT %s
"""
WINDOW: Final = """
    SELECT ts_us, number, odd, site FROM iotcache.reading JOIN iotcache.series ON series_id = id
    WHERE series_id = ANY (%s::bigint[]) AND ts_us >= %s AND ts_us < %s AND number IS NOT NULL
"""
PRUNE_READINGS: Final = """
    DELETE FROM {partition} kept USING (
        SELECT old.* FROM iotcache.series CROSS JOIN LATERAL (
            SELECT series_id, ts_us, seq, boot FROM {partition} WHERE series_id = id AND ts_us < %s LIMIT %s
        ) old LIMIT %s
    ) gone
    WHERE (kept.series_id, kept.ts_us, kept.seq, kept.boot)
        = (gone.series_id, gone.ts_us, gone.seq, gone.boot)
"""
REMOVE_DEAD_LETTERS: Final = "DELETE FROM iotcache.dead_letter WHERE id = ANY(%s)"
PRUNE_DEAD_LETTERS: Final = """
    DELETE FROM iotcache.dead_letter
    WHERE id IN (SELECT id FROM iotcache.dead_letter WHERE received_us < %s ORDER BY received_us LIMIT %s)
"""
ADD_DEAD_LETTER: Final = """
    INSERT INTO iotcache.dead_letter (received_us, topic, reason, payload, digest, truncated)
    VALUES (%s, %s, %s, %s, %s, %s)
    ON CONFLICT (digest) DO UPDATE SET
        received_us = excluded.received_us, reason = excluded.reason, times = dead_letter.times + 1,
        truncated = dead_letter.truncated AND excluded.truncated
"""
RECENT_DEAD_LETTERS: Final = """
    SELECT topic, payload, reason, received_us, truncated FROM iotcache.dead_letter
    ORDER BY received_us DESC, id DESC LIMIT %s
"""
COUNTS: Final = """
    SELECT (SELECT coalesce(sum(readings), 0) FROM iotcache.total)::bigint
            + (SELECT coalesce(sum(readings), 0) FROM iotcache.partition_total)::bigint,
        (SELECT count(*) FROM iotcache.series),
        (SELECT count(*) FROM iotcache.dead_letter),
        (SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class
            WHERE relnamespace = 'iotcache'::regnamespace AND relkind = 'r')
"""
