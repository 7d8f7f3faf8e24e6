"""Images in the terminal, for --preview: by the kitty protocol, as sixels, or as half blocks.

`detect` finds out what the terminal shows, `preview` draws for it, and `Previewer` does both for the outcomes of a run.
"""

from gmmquant.cli.preview.draw import Entry, note_of, preview
from gmmquant.cli.preview.previewer import Previewer
from gmmquant.cli.preview.terminal import Capabilities, Graphics, detect

__all__ = ["Capabilities", "Entry", "Graphics", "Previewer", "detect", "note_of", "preview"]
