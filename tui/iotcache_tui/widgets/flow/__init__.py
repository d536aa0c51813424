"""Widgets of the Flow screen."""
