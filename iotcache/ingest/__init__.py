"""From an MQTT message to a committed reading: decode, commit, write through, acknowledge."""
