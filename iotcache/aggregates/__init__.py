"""Aggregates by site and sensor, history buckets by series: counted as readings come, kept in the cache."""

from iotcache.model.aggregates import AggregateRead, BucketRead, Figures

__all__ = ["AggregateRead", "BucketRead", "Figures"]
