"""Widgets of the Fleet screen."""
