"""Alerts: rules over readings, the fleet and the nodes; what they raise is kept, published and posted."""

from iotcache.alerts.model import Alert, AlertState

__all__ = ["Alert", "AlertState"]
