"""What the Device screen shows."""
