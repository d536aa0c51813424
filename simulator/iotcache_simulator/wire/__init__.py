"""MQTT as a device speaks it: publishing connections, thin enough that one process can hold thousands."""
