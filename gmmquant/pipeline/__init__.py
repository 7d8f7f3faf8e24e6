"""Quantize files: sources become jobs, jobs become output files and records."""
