"""What the Advisor screen shows."""
