"""What the Nodes screen shows."""
