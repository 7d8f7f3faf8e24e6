"""Decoders of what a terminal is sent for the preview: sixels, the kitty protocol and coloured half blocks."""

import base64
import re

import numpy as np


def decode_sixel(text):
    """Return indices (height, width), -1 where nothing is drawn, and the registers in per cent by number."""
    start = re.match(r'\x1bP[\d;]*q"(\d+);(\d+);(\d+);(\d+)', text)
    assert start[1] == start[2]
    width, height = int(start[3]), int(start[4])
    assert text.endswith("\x1b\\")
    body = text[start.end() : -2]
    indices, registers = np.full((height + 6, width), -1), {}
    x = y = color = 0
    position = 0
    token = re.compile(r"#(\d+);2;(\d+);(\d+);(\d+)|#(\d+)|!(\d+)([?-~])|([?-~])|([$-])")
    while position < len(body):
        found = token.match(body, position)
        assert found, body[position : position + 20]
        position = found.end()
        if found[1]:
            registers[int(found[1])] = tuple(int(found[i]) for i in (2, 3, 4))
        elif found[5]:
            color = int(found[5])
        elif found[9]:
            x, y = 0, y + 6 * (found[9] == "-")
        else:
            n, bits = int(found[6] or 1), ord(found[7] or found[8]) - 63
            for row in range(6):
                if bits >> row & 1:
                    assert x + n <= width
                    assert (indices[y + row, x : x + n] == -1).all()  # no pixel is drawn twice
                    indices[y + row, x : x + n] = color
            x += n
    assert (indices[height:] == -1).all()
    return indices[:height], registers


def sixels_in(text):
    """Return the sixel images in a text."""
    return re.findall(r"\x1bP[\d;]*q.*?\x1b\\", text, re.DOTALL)


def kitty_images_in(text):
    """Return controls and file of each image that a text shows by the kitty protocol."""
    images, parts = [], []
    for control, payload in re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", text):
        assert len(payload) <= 4096
        values = dict(entry.split("=") for entry in control.split(","))
        if not parts:
            first = values
        parts.append(payload)
        assert values["m"] == "0" or len(payload) % 4 == 0
        if values["m"] == "0":
            images.append((first, base64.b64decode("".join(parts), validate=True)))
            parts = []
    assert not parts
    return images


def decode_blocks(lines):
    """Return the codes of the upper and lower pixels of lines of half blocks, None where the background shows."""
    rows = []
    for line in lines:
        upper, lower = [], []
        foreground = background = None
        for codes, character in re.findall(r"\x1b\[([\d;]*)m|(.)", line):
            if character:
                colors = {"▀": (foreground, background), "▄": (background, foreground), " ": (None, None)}[character]
                upper.append(colors[0])
                lower.append(colors[1])
            else:
                styles = dict(re.findall(r"([34])8;(2;\d+;\d+;\d+|5;\d+)", codes))
                foreground, background = styles.get("3"), styles.get("4")
        rows += [upper, lower]
    return rows
