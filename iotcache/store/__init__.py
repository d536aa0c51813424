"""Durable stores behind one small interface."""
