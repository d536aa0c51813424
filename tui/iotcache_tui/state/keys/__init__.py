"""What the Keys screen shows."""
