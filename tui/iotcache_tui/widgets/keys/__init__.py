"""Widgets of the Keys screen."""
