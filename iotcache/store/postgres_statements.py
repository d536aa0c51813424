"""The statements of the PostgreSQL store."""

from __future__ import annotations

from typing import Final

# A whole batch travels as eight arrays in one statement: no per-row message, and a plan made once.
READING_KINDS: Final = "nnntntnt"
"""Which of its columns are numbers and which texts."""
INSERT_READINGS: Final = """
    INSERT INTO reading SELECT * FROM unnest(
        %s::bigint[], %s::bigint[], %s::bigint[], %s::text[], %s::float8[], %s::text[],
        %s::bigint[], %s::text[])
    ON CONFLICT DO NOTHING
"""
LATEST_KINDS: Final = "nnntntnttnn"
UPSERT_LATEST: Final = """
    INSERT INTO latest SELECT * FROM unnest(
        %s::bigint[], %s::bigint[], %s::bigint[], %s::text[], %s::float8[], %s::text[],
        %s::bigint[], %s::text[], %s::text[], %s::float8[], %s::bigint[])
    ON CONFLICT (series_id) DO UPDATE SET
        ts_us = excluded.ts_us, seq = excluded.seq, boot = excluded.boot, number = excluded.number,
        exact = excluded.exact, received_us = excluded.received_us, unit = excluded.unit,
        site = excluded.site, interval_s = excluded.interval_s, cached_until_us = excluded.cached_until_us
    WHERE (excluded.ts_us, excluded.seq, excluded.boot) >= (latest.ts_us, latest.seq, latest.boot)
    RETURNING series_id
"""
IN_HISTORY: Final = """
    SELECT n FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::text[], %s::float8[], %s::text[])
        WITH ORDINALITY AS want (series_id, ts_us, seq, boot, number, exact, n)
    JOIN reading USING (series_id, ts_us, seq, boot)
    WHERE want.number IS NOT DISTINCT FROM reading.number AND want.exact IS NOT DISTINCT FROM reading.exact
"""
LATEST: Final = """
    SELECT n, ts_us, seq, boot, number, exact, received_us, latest.unit, latest.site, interval_s,
        cached_until_us
    FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS want (device, sensor, n)
    JOIN series USING (device, sensor) JOIN latest ON series_id = id
"""
ADD_SERIES: Final = """
    INSERT INTO series (device, sensor, site, unit)
    SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[]) ON CONFLICT DO NOTHING
"""
FIND_SERIES: Final = """
    SELECT n, id, site, unit FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS want (device, sensor, n)
    JOIN series USING (device, sensor)
"""
ADD_TOTAL: Final = """
    INSERT INTO total VALUES (pg_backend_pid() %% 64, %s)
    ON CONFLICT (shard) DO UPDATE SET readings = total.readings + excluded.readings
"""
"""The count is kept in shards, so that workers do not wait for each other's commits to update one row."""
DIRECTORY: Final = """
    SELECT id, device, sensor, latest.site, latest.unit, interval_s
    FROM series JOIN latest ON series_id = id WHERE id > %s ORDER BY id LIMIT %s
"""
HISTORY: Final = """
    SELECT ts_us, seq, boot, number, exact, received_us, odd, site, unit
    FROM series JOIN reading ON series_id = id
    WHERE device = %s AND sensor = %s AND ts_us >= %s AND ts_us < %s
    ORDER BY ts_us DESC, seq DESC, boot DESC LIMIT %s
"""
PRUNE_READINGS: Final = """
    DELETE FROM reading USING (
        SELECT old.* FROM series CROSS JOIN LATERAL (
            SELECT series_id, ts_us, seq, boot FROM reading WHERE series_id = id AND ts_us < %s LIMIT %s
        ) old LIMIT %s
    ) gone
    WHERE (reading.series_id, reading.ts_us, reading.seq, reading.boot)
        = (gone.series_id, gone.ts_us, gone.seq, gone.boot)
"""
PRUNE_DEAD_LETTERS: Final = """
    DELETE FROM dead_letter
    WHERE id IN (SELECT id FROM dead_letter WHERE received_us < %s ORDER BY received_us LIMIT %s)
"""
ADD_DEAD_LETTER: Final = """
    INSERT INTO dead_letter (received_us, topic, reason, payload, digest) VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT (digest) DO UPDATE SET
        received_us = excluded.received_us, reason = excluded.reason, times = dead_letter.times + 1
"""
DEAD_LETTERS: Final = """
    SELECT topic, payload, reason, received_us FROM dead_letter ORDER BY received_us DESC, id DESC LIMIT %s
"""
COUNTS: Final = """
    SELECT (SELECT coalesce(sum(readings), 0)::bigint FROM total), (SELECT count(*) FROM series),
        (SELECT count(*) FROM dead_letter),
        (SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class
            WHERE relnamespace = 'iotcache'::regnamespace AND relkind = 'r')
"""
