"""Dithering: colours between those of a palette, mixed by neighbouring pixels."""
