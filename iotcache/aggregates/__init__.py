"""Aggregates by site and sensor, history buckets by series: counted as readings come, kept in the cache."""

from iotcache.aggregates.model import AggregateRead, BucketRead, Figures

__all__ = ["AggregateRead", "BucketRead", "Figures"]
