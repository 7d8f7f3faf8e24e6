"""Colours as data: still only arrays."""
