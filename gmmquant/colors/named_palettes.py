"""Palettes by name: displays, computers and colour schemes. Only texts, so that a shell completes the names at once.

Sources of the values:

- `spectra6`, `acep7`: Waveshare's Python drivers of E Ink Spectra 6 and ACeP panels (epd7in3e, epd5in65f). They are the
  colours that select an ink; the inks look paler.
- `gameboy`: Wikipedia, "List of video game console palettes", for the screen of 1989.
- `cga`: IBM's mode 4, palette 1 at high intensity. `ega16`: the default palette of EGA and VGA, with IBM's brown.
- `html16`: HTML 4.01, section 6.5.
- `websafe`: the 216 colours with six levels in steps of 51, of browsers on displays of 256 colours.
- `teletext`: ETSI EN 300 706, level 1. `zx-spectrum`: its 15 colours, the dim ones at 85 % of the voltage.
- `c64`: Philip Timmermann, "All you ever wanted to know about the colors of the Commodore 64" (2001).
- `pico8`: Lexaloffle's manual of PICO-8.
- `nord`: nordtheme.com. `solarized`: Ethan Schoonover's page. `gruvbox`: Pavel Pertsev's repository, the dark and light
  greys, then the neutral and the bright colours.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

# Colours as hex codes, in the order of their indices.
_CODES = {
    "bw": "000000 ffffff",
    "spectra6": "000000 ffffff ffff00 ff0000 0000ff 00ff00",
    "acep7": "000000 ffffff 00ff00 0000ff ff0000 ffff00 ff8000",
    "gameboy": "0f380f 306230 8bac0f 9bbc0f",
    "cga": "000000 55ffff ff55ff ffffff",
    "ega16": (
        "000000 0000aa 00aa00 00aaaa aa0000 aa00aa aa5500 aaaaaa 555555 5555ff 55ff55 55ffff ff5555 ff55ff "
        "ffff55 ffffff"
    ),
    "html16": (
        "000000 800000 008000 808000 000080 800080 008080 c0c0c0 808080 ff0000 00ff00 ffff00 0000ff ff00ff "
        "00ffff ffffff"
    ),
    "teletext": "000000 ff0000 00ff00 ffff00 0000ff ff00ff 00ffff ffffff",
    "zx-spectrum": (
        "000000 0000d8 d80000 d800d8 00d800 00d8d8 d8d800 d8d8d8 0000ff ff0000 ff00ff 00ff00 00ffff ffff00 ffffff"
    ),
    "c64": (
        "000000 ffffff 68372b 70a4b2 6f3d86 588d43 352879 b8c76f 6f4f25 433900 9a6759 444444 6c6c6c 9ad284 "
        "6c5eb5 959595"
    ),
    "pico8": (
        "000000 1d2b53 7e2553 008751 ab5236 5f574f c2c3c7 fff1e8 ff004d ffa300 ffec27 00e436 29adff 83769c "
        "ff77a8 ffccaa"
    ),
    "nord": (
        "2e3440 3b4252 434c5e 4c566a d8dee9 e5e9f0 eceff4 8fbcbb 88c0d0 81a1c1 5e81ac bf616a d08770 ebcb8b "
        "a3be8c b48ead"
    ),
    "solarized": (
        "002b36 073642 586e75 657b83 839496 93a1a1 eee8d5 fdf6e3 b58900 cb4b16 dc322f d33682 6c71c4 268bd2 "
        "2aa198 859900"
    ),
    "gruvbox": (
        "282828 3c3836 504945 665c54 7c6f64 a89984 bdae93 d5c4a1 ebdbb2 fbf1c7 cc241d 98971a d79921 458588 "
        "b16286 689d6a d65d0e fb4934 b8bb26 fabd2f 83a598 d3869b 8ec07c fe8019"
    ),
    "grey4": " ".join(f"{85 * i:02x}" * 3 for i in range(4)),
    "grey16": " ".join(f"{17 * i:02x}" * 3 for i in range(16)),
    "websafe": " ".join(f"{51 * r:02x}{51 * g:02x}{51 * b:02x}" for r, g, b in product(range(6), repeat=3)),
}

NAMED_PALETTES = {name: tuple(codes.split()) for name, codes in _CODES.items()}


def name_of(codes: Sequence[object]) -> str | None:
    """Return the name of the palette that has just these colours, as `#rrggbb`, in this order; None if none has."""
    return next((name for name, own in NAMED_PALETTES.items() if [f"#{code}" for code in own] == list(codes)), None)
