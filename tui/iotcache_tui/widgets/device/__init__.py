"""Widgets of the Device screen."""
