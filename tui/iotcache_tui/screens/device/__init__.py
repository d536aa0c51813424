"""The Device screen."""
