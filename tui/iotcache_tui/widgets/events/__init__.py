"""Widgets of the Events screen."""
