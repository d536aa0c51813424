"""Alerts: rules over readings, the fleet and the nodes; what they raise is kept, published and posted."""

from iotcache.model.alerts import Alert, AlertState

__all__ = ["Alert", "AlertState"]
