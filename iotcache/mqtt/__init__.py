"""The one way to an MQTT broker: a link that stays connected, hands over batches and acks when told."""

from iotcache.mqtt.inbound import Message
from iotcache.mqtt.link import LinkState, MqttLink, Will

__all__ = ["LinkState", "Message", "MqttLink", "Will"]
