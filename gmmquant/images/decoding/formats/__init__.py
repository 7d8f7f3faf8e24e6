"""The readers of the input formats, a module each."""
