"""The way to one node: what is said, what is heard, and the connection between."""
