"""Plots of fits with matplotlib, which is imported by the functions that need it."""
