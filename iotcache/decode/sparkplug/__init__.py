"""Sparkplug B (Eclipse Sparkplug 3.0.0): metrics of edge nodes and their devices, out of protobuf."""

from iotcache.decode.sparkplug.payload import Metric, Sparkplug, SparkplugMessage
from iotcache.decode.sparkplug.protobuf import NotSparkplug
from iotcache.decode.sparkplug.topics import DeviceNaming, Origin, device_name, parse_topic

__all__ = [
    "DeviceNaming",
    "Metric",
    "NotSparkplug",
    "Origin",
    "Sparkplug",
    "SparkplugMessage",
    "device_name",
    "parse_topic",
]
