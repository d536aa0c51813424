"""Readers: dashboards and applications that read the fleet's values through the cache."""
