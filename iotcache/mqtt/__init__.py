"""The one way to an MQTT broker: a link that stays connected, hands over batches, acknowledges when told."""

from iotcache.model.messages import Message
from iotcache.mqtt.codec import Will
from iotcache.mqtt.link import LinkState, MqttLink

__all__ = ["LinkState", "Message", "MqttLink", "Will"]
