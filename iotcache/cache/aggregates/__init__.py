"""Aggregates and history buckets read through the cache: their values, how they are recounted from the
store."""
