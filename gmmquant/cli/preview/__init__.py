"""Images in the terminal, for --preview: by the kitty protocol, as sixels, or as half blocks.

`detect` finds out what the terminal shows, `preview` draws for it, and `preview_in` does both.
"""

from gmmquant.cli.preview.draw import Entry, note_of, preview, preview_in
from gmmquant.cli.preview.terminal import Capabilities, Graphics, detect

__all__ = ["Capabilities", "Entry", "Graphics", "detect", "note_of", "preview", "preview_in"]
