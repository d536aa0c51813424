"""Blocks of readings, computed as arrays and rendered into payloads."""
