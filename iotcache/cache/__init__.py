"""The device cache: read through it to the store, write through it after a commit."""

from iotcache.cache.device_cache import DeviceCache
from iotcache.cache.filled import Filled
from iotcache.cache.tally import CacheCounters

__all__ = ["CacheCounters", "DeviceCache", "Filled"]
