"""Copies of the hottest keys, on other nodes than their owners."""
