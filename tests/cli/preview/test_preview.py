"""What --preview shows: images, captions and curves in windows of any size."""

import io
import re
from dataclasses import replace

import numpy as np
import pytest
from cli_outcomes import Screen, done, fit_of, plain, record_of
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from running import in_a_terminal
from terminal_decoders import decode_blocks, decode_sixel, kitty_images_in, sixels_in

from gmmquant.cli.console import Console
from gmmquant.cli.preview.draw import Entry, note_of, preview
from gmmquant.cli.preview.layout import GAP_COLUMNS, grid_of
from gmmquant.cli.preview.outcomes import Preview
from gmmquant.cli.preview.terminal import Capabilities, Graphics
from gmmquant.cli.reporters import reporter_class
from gmmquant.images.recolor import ColorImage, IndexedImage
from gmmquant.report.outcome import Illustration

XTERM = {"TERM": "xterm-256color"}

TRACE = [{"level": 10, "objective": [1.0, 2.0, 2.5]}, {"level": 90, "objective": [2.6, 2.7]}]


def indexed(k=5, size=(12, 9), alpha=None):
    rng = np.random.default_rng(k)
    return IndexedImage(rng.integers(0, k, size[::-1]).astype(np.uint8), rng.integers(0, 256, (k, 3), np.uint8), alpha)


def decoded(file):
    with Image.open(io.BytesIO(file)) as image:
        return np.asarray(image.convert("RGBA"))


def test_kitty_shows_the_pixels_enlarged_by_a_whole_factor():
    image = indexed()
    text = preview([("k = 5", image)], Capabilities(Graphics.KITTY, (10, 20)), 80, 24, (10, 20))
    ((controls, file),) = kitty_images_in(text)
    shown = decoded(file)
    factor = shown.shape[0] // 9
    assert factor > 10
    assert "c" not in controls  # a pixel of the image is one of the screen
    assert np.array_equal(shown[..., :3], image.pixels.repeat(factor, 0).repeat(factor, 1))
    with Image.open(io.BytesIO(file)) as opened:
        assert opened.mode == "P"
        assert opened.getpalette()[:15] == image.palette.ravel().tolist()


@pytest.mark.parametrize("cell", [None, (10, 20)])
def test_kitty_scales_a_large_image_itself(cell):
    image = indexed(size=(500, 300))
    ((controls, file),) = kitty_images_in(preview([("", image)], Capabilities(Graphics.KITTY, cell), 40, 24, cell))
    assert np.array_equal(decoded(file)[..., :3], image.pixels)
    assert 35 < int(controls["c"]) <= 40


def test_sixels_are_the_labels_and_the_palette_of_the_image():
    image = indexed(size=(30, 20))
    (sixel,) = sixels_in(preview([("", image)], Capabilities(Graphics.SIXEL, (10, 20)), 80, 24, (10, 20)))
    indices, registers = decode_sixel(sixel)
    factor = indices.shape[0] // 20
    assert factor > 5
    assert np.array_equal(indices, image.labels.repeat(factor, 0).repeat(factor, 1))
    assert len(registers) == 5


def test_sixels_of_many_colors_are_near_to_the_image():
    y, x = np.mgrid[:64, :64]
    pixels = np.dstack([4 * x, 4 * y, 2 * (x + y)]).astype(np.uint8)
    for image in (pixels, ColorImage(pixels), replace(indexed(300), palette=np.zeros((300, 3), np.uint8))):
        (sixel,) = sixels_in(preview([("", image)], Capabilities(Graphics.SIXEL), 16, 12, (4, 8)))
        indices, registers = decode_sixel(sixel)
        assert len(registers) <= 256
        if image is pixels:
            shown = np.array([registers[i] for i in indices.ravel()]) * 2.55
            factor = 64 // indices.shape[0] or 1
            assert np.abs(shown - pixels[::factor, ::factor].reshape(-1, 3)).mean() < 8


@pytest.mark.parametrize("graphics", [Graphics.SIXEL, Graphics.KITTY, Graphics.TRUE_COLOR_BLOCKS])
def test_transparent_pixels_are_not_drawn(graphics):
    alpha = np.zeros((6, 6), np.uint8)
    alpha[2:4, 2:4] = 255
    for image in (indexed(3, (6, 6), alpha), np.dstack([indexed(3, (6, 6)).pixels, alpha])):
        text = preview([("", image)], Capabilities(graphics, (10, 20)), 6, 8, (10, 20))
        if graphics is Graphics.SIXEL:
            shown = decode_sixel(sixels_in(text)[0])[0] >= 0
        elif graphics is Graphics.KITTY:
            shown = decoded(kitty_images_in(text)[0][1])[..., 3] > 0
        else:
            rows = decode_blocks(text.splitlines()[:3])
            shown = np.array([[code is not None for code in (row + [None] * 6)[:6]] for row in rows])
        factor = shown.shape[0] // 6
        assert np.array_equal(shown, (alpha > 0).repeat(factor, 0).repeat(factor, 1))


@given(st.integers(1, 21), st.integers(10, 240), st.integers(5, 80), st.integers(1, 512), st.integers(1, 512))
@settings(max_examples=300)
def test_a_grid_is_no_wider_than_the_window_and_images_fit_it_or_scroll_one_by_one(n, columns, rows, width, height):
    grid = grid_of([(width, height)] * n, (columns, rows), (10, 20), (16, 6), 3)
    assert 1 <= grid.n_across <= n
    assert grid.columns >= 1
    assert grid.n_across * (grid.columns + GAP_COLUMNS) - GAP_COLUMNS <= columns
    n_down = -(-n // grid.n_across)
    fits = n_down * (grid.rows + 3) < rows
    assert fits or grid.rows + 3 < rows or grid.rows == 6


def test_images_stand_where_they_are_largest():
    wide, high = [(400, 100)] * 2, [(100, 400)] * 2
    assert grid_of(wide, (80, 40), (10, 20), (16, 6), 2).n_across == 1
    assert grid_of(high, (80, 40), (10, 20), (16, 6), 2).n_across == 2


@pytest.mark.parametrize(
    ("size", "columns", "rows", "n", "n_across"),
    [
        ((32, 32), 50, 24, 2, 2),
        ((32, 32), 80, 24, 3, 3),
        ((16, 16), 80, 60, 3, 3),
        ((451, 300), 80, 24, 3, 3),
        ((451, 300), 80, 50, 3, 3),
        ((451, 300), 80, 60, 3, 1),  # twice as wide and high
        ((451, 300), 120, 24, 4, 4),
        ((451, 300), 80, 24, 4, 2),  # equal rows, and the window scrolls
        ((451, 300), 80, 24, 6, 3),
        ((451, 300), 200, 60, 4, 4),
        ((900, 200), 80, 60, 3, 1),
        ((451, 300), 20, 24, 3, 1),
    ],
)
def test_half_blocks_stand_side_by_side_where_the_window_holds_them(size, columns, rows, n, n_across):
    image = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    text = preview([("name", image)] * n, Capabilities(Graphics.TRUE_COLOR_BLOCKS), columns, rows)
    captions = [line.split() for line in text.splitlines() if line.startswith("name")]
    assert [len(line) for line in captions] == [n_across] * (n // n_across)


def test_a_narrow_caption_loses_its_last_figures_and_never_its_beginning():
    image = np.zeros((32, 32, 3), dtype=np.uint8)
    for columns, shown in ((25, "k = 3  23.9 dB  291 bytes"), (24, "k = 3  23.9 dB"), (13, "k = 3")):
        text = preview([("k = 3  23.9 dB  291 bytes", image)], Capabilities(Graphics.TRUE_COLOR_BLOCKS), columns, 24)
        assert text.splitlines()[-2] == shown
    text = preview([("a  long  name.png  2.41 kB", image)], Capabilities(Graphics.TRUE_COLOR_BLOCKS), 14, 24)
    assert text.splitlines()[-2] == "…ong  name.png"


@pytest.mark.parametrize("graphics", [g for g in Graphics if g is not Graphics.NONE])
@pytest.mark.parametrize(("columns", "rows"), [(50, 24), (80, 24), (120, 40), (200, 60)])
@pytest.mark.parametrize("n", [1, 2, 5, 9])
def test_every_image_is_shown_with_its_caption_and_no_line_is_wider_than_the_window(graphics, columns, rows, n):
    entries = [
        ("original", np.zeros((60, 90, 3), np.uint8)),
        *[(f"k = {k}", indexed(k, (90, 60))) for k in range(2, n + 1)],
    ]
    text = preview(entries, Capabilities(graphics, (9, 18)), columns, rows, (9, 18))
    if graphics is Graphics.KITTY:
        assert len(kitty_images_in(text)) == n
    elif graphics is Graphics.SIXEL:
        assert len(sixels_in(text)) == n
    visible = plain(re.sub(r"\x1b_G.*?\x1b\\|\x1bP.*?\x1b\\|\x1b[78]", "", text, flags=re.DOTALL))
    assert re.findall(r"original|k = \d+", visible) == [caption for caption, _ in entries]
    assert max(map(len, visible.splitlines())) <= columns
    assert text.endswith("\n\n")


@pytest.mark.parametrize("graphics", [Graphics.KITTY, Graphics.SIXEL])
def test_room_is_made_before_images_are_drawn_and_the_cursor_ends_below_them(graphics):
    text = preview([("a", indexed(size=(40, 40)))], Capabilities(graphics, (10, 20)), 30, 20, (10, 20))
    made, moved = re.match(r"(\n+)\x1b\[(\d+)A\x1b7\x1b\[1G", text).groups()
    (back,) = re.findall(r"\x1b8\x1b\[(\d+)B\r", text)
    assert len(made) == int(moved) == int(back)
    assert len(made) * 20 >= 40
    if graphics is Graphics.SIXEL:
        assert decode_sixel(sixels_in(text)[0])[0].shape[0] <= len(made) * 20


def test_a_fit_has_a_curve_and_the_number_of_its_iterations():
    entries = [Entry("original", indexed()), Entry("k = 5", indexed(), TRACE)]
    lines = plain(preview(entries, Capabilities(Graphics.TRUE_COLOR_BLOCKS), 100, 30)).splitlines()
    assert lines[-2].endswith("⣀⠤⠁ 3 iterations")
    without = plain(preview([("k = 5", indexed())], Capabilities(Graphics.BLOCKS), 100, 30))
    assert "iterations" not in without


def test_captions_are_harmless_and_short():
    text = preview([("n" * 300 + "a\x1b[31m\n", indexed())], Capabilities(Graphics.BLOCKS), 40, 20)
    *_, caption, _ = text.splitlines()
    assert caption.endswith("na\\x1b[31m\\x0a")
    assert len(caption) <= 40
    assert caption.startswith("…n")


def test_nothing_is_shown_without_graphics_but_a_note():
    assert preview([("a", indexed())], Capabilities(Graphics.NONE), 80, 24) == ""
    assert preview([], Capabilities(Graphics.KITTY), 80, 24) == ""
    assert note_of(Capabilities(Graphics.NONE)).startswith("--preview needs")
    assert note_of(Capabilities(Graphics.SIXEL)) is None


def illustrated(*fits, images=None):
    outcome = done(record_of(*fits))
    outcome.record["image"]["path"] = "a/cat\x1b.jpg"
    images = [indexed(fit["k"]) for fit in fits] if images is None else images
    return outcome._replace(illustration=Illustration(np.zeros((9, 12, 3), np.uint8), images))


def test_an_outcome_is_shown_by_its_original_and_the_image_of_each_fit(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("LINES", "60")
    outcome = illustrated(fit_of(2, trace=TRACE), fit_of(7, bytes=None, psnr=None, trace=[]))
    text, note = Preview(io.StringIO(), Screen(), XTERM).show(outcome)
    assert note is None
    shown = plain(text)
    captions = re.findall(r"cat\\x1b\.jpg  5\.00 kB|k = 2  21\.9 dB  1\.23 kB|k = 7", shown)
    assert len(captions) == 3
    assert "3 iterations" in shown


def test_images_that_are_gone_and_outcomes_without_images_are_left_out():
    gone = illustrated(fit_of(2, trace=[]), fit_of(7, trace=[]), images=[None, indexed(7)])
    shown = plain(Preview(io.StringIO(), Screen(), XTERM).show(gone)[0])
    assert "k = 7" in shown
    assert "k = 2" not in shown
    assert Preview(io.StringIO(), Screen(), XTERM).show(done()) == ("", None)


def test_a_terminal_without_graphics_gets_one_note_for_all_outcomes():
    shows = Preview(io.StringIO(), io.StringIO(), XTERM)
    assert shows.show(illustrated(fit_of(2, trace=[]))) == ("", note_of(Capabilities(Graphics.NONE)))
    assert shows.show(illustrated(fit_of(2, trace=[]))) == ("", None)


def test_the_console_shows_images_after_the_table_and_the_window_ends_with_them(monkeypatch):
    for name, value in {**XTERM, "COLORTERM": "truecolor"}.items():  # rich keeps the codes of styles in a process
        monkeypatch.setenv(name, value)
    results = Screen()
    outcome = illustrated(fit_of(2, trace=[]))
    with Console(
        reporter_class("table")(results), [2], preview=Preview(io.StringIO(), results, XTERM), stream=io.StringIO()
    ) as console:
        console.show(outcome)
    text = plain(results.getvalue())
    assert text.index("log-lik./px") < text.index("▀") < text.index("k = 2")
    messages = io.StringIO()
    with Console(
        reporter_class("as_json")(io.StringIO()),
        [2],
        preview=Preview(io.StringIO(), io.StringIO(), XTERM),
        stream=messages,
    ) as console:
        console.show(outcome)
    assert "--preview needs" in messages.getvalue()


def test_the_command_shows_images_after_the_table(tmp_path, samples, clean_environment):
    environment = {**clean_environment, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    arguments = [samples / "flat.png", "-k", "3", "-o", "out", "--preview"]
    shown, code = in_a_terminal(arguments, tmp_path, environment)
    assert code == 0
    table, _, images = plain(shown).partition("▀")
    assert "PSNR" in table
    assert "k = 3" in images
    colors = {tuple(map(int, code)) for code in re.findall(r"38;2;(\d+);(\d+);(\d+)", shown.partition("▀")[2])}
    assert colors >= {(0xF4, 0xF1, 0xDE), (0x3D, 0x40, 0x5B), (0xE0, 0x7A, 0x5F)}
