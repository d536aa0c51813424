"""Aggregates and history buckets."""
