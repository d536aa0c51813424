"""The one way to an MQTT broker: a link that stays connected, hands over batches and acks when told."""

from iotcache.mqtt.connection import Will
from iotcache.mqtt.link import LinkState, MqttLink
from iotcache.mqtt.reader import Message

__all__ = ["LinkState", "Message", "MqttLink", "Will"]
