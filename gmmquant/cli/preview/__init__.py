"""Images in the terminal, for --preview: by the kitty protocol, as sixels, or as half blocks.

`terminal` detects which of these the terminal shows, `draw` draws for it, and `outcomes` does both for a run.
"""
