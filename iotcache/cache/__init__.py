"""The device cache: read through it to the store, write through it after a commit."""

from iotcache.cache.counters import CacheCounters
from iotcache.cache.device_cache import DeviceCache
from iotcache.cache.fill_result import FillResult
from iotcache.cache.reading_writer import Written

__all__ = ["CacheCounters", "DeviceCache", "FillResult", "Written"]
