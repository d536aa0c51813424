"""From topic and payload bytes to readings, dead letters or device messages. Pure: no socket, no clock, no
settings."""
