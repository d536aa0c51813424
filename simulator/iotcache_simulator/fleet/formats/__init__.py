"""Payload formats: how readings become the bytes of a message."""
