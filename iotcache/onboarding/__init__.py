"""Devices coming and going: their births, their configurations, a warm cache for them, and their end."""

from iotcache.onboarding.push import PushResult, push_config
from iotcache.onboarding.retire import recommission, retire
from iotcache.onboarding.warm import WarmProgress, fleet_entries, warm

__all__ = ["PushResult", "WarmProgress", "fleet_entries", "push_config", "recommission", "retire", "warm"]
