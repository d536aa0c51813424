"""The one way to an MQTT broker: a link that stays connected, hands over batches and acks when told."""

from iotcache.model.messages import Message
from iotcache.mqtt.connection import Will
from iotcache.mqtt.link import LinkState, MqttLink

__all__ = ["LinkState", "Message", "MqttLink", "Will"]
