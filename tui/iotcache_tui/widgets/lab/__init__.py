"""Widgets of the Lab screen."""
