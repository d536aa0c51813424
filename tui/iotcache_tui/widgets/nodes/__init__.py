"""Widgets of the Nodes screen."""
