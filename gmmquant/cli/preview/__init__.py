"""Images in the terminal, for --preview: by the kitty protocol, as sixels, or as half blocks.

`detect` finds out what the terminal shows, `preview` draws for it, and `Preview` does both for the outcomes of a run.
"""

from gmmquant.cli.preview.draw import Entry, note_of, preview, preview_for
from gmmquant.cli.preview.outcomes import Preview, entries_of
from gmmquant.cli.preview.terminal import Capabilities, Graphics, detect

__all__ = [
    "Capabilities",
    "Entry",
    "Graphics",
    "Preview",
    "detect",
    "entries_of",
    "note_of",
    "preview",
    "preview_for",
]
