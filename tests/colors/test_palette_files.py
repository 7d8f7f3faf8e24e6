"""Palettes as files: every format there and back, against other readers, and against damaged and hostile files."""

import colorsys
import io
import json
import os
import re
import socket
import struct
import tempfile
import zlib

import cv2
import numpy as np
import pytest
from helpers import read_palette
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import GimpPaletteFile, Image, ImageCms, ImageColor

import gmmquant.settings
from gmmquant.colors import palette_files
from gmmquant.colors.named_palettes import NAMED_PALETTES
from gmmquant.colors.palette_files import MAX_BYTES, encode_palette, parse_colors
from gmmquant.errors import PaletteFileError, ParameterError
from gmmquant.images import palette_image
from gmmquant.images.encoding.encode import is_gmmquant_output
from gmmquant.images.palette_image import ALL_FORMATS, encode_swatches, load_palette, read_palette_image
from gmmquant.parsing import color_names, parse_color

WRITTEN = [entry.name for entry in palette_files.FORMATS if entry.encode]

law = settings(max_examples=40)

colors = st.tuples(*[st.integers(0, 255)] * 3)
palettes = st.lists(colors, min_size=1, max_size=40).map(lambda entries: np.array(entries, dtype=np.uint8))
names = st.text(max_size=300)
hostile_names = [
    "",
    "\n",
    "a\r\nb",
    "\x1b[2J",
    "\x00",
    "x" * 255,
    "猫" * 400,
    "\udcff",
    "*/ } --x-1: #123456;",
    "123",
    "Ä ö",
    "猫",
    "\u2028",
]

ROW = np.array([[26, 43, 60], [255, 255, 255], [0, 0, 0]], dtype=np.uint8)


def each_once(palette):
    return [list(color) for color in dict.fromkeys(map(tuple, palette.tolist()))]


def shares(palette):
    return np.arange(1, len(palette) + 1) / sum(range(1, len(palette) + 1))


def read_by_struct_ase(data):
    """Read an ASE file by its published layout: names of groups, and (name, model, values) of colours."""
    signature, major, minor, n_blocks = struct.unpack(">4sHHI", data[:12])
    assert (signature, major, minor) == (b"ASEF", 1, 0)
    stream, groups, found = io.BytesIO(data[12:]), [], []

    def text(block):
        (n_units,) = struct.unpack(">H", block.read(2))
        units = block.read(2 * n_units)
        assert units[-2:] == b"\0\0"
        return units[:-2].decode("utf-16-be")

    for _ in range(n_blocks):
        kind, length = struct.unpack(">HI", stream.read(6))
        block = io.BytesIO(stream.read(length))
        if kind == 0xC001:
            groups.append(text(block))
        elif kind == 1:
            name, model = text(block), block.read(4)
            found.append((name, model, struct.unpack(">3f", block.read(12))))
            assert block.read() == b"\0\2"
        else:
            assert (kind, length) == (0xC002, 0)
    assert not stream.read()
    return groups, found


def read_by_struct_aco(data):
    """Read an ACO file by its published layout: the 16-bit colours of version 1 and of version 2, and the names."""
    words = struct.unpack(f">{len(data) // 2}H", data)
    version, count = words[:2]
    assert version == 1
    first = [words[2 + 5 * i : 7 + 5 * i] for i in range(count)]
    words = words[2 + 5 * count :]
    assert words[:2] == (2, count)
    second, names, position = [], [], 2
    for _ in range(count):
        second.append(words[position : position + 5])
        zero, length = words[position + 5 : position + 7]
        units = words[position + 7 : position + 7 + length]
        assert zero == units[-1] == 0
        names.append("".join(map(chr, units[:-1])))
        position += 7 + length
    assert position == len(words)
    return first, second, names


def ase_of(*blocks):
    """Put an ASE file together of blocks (type, content)."""
    packed = b"".join(struct.pack(">HI", kind, len(content)) + content for kind, content in blocks)
    return struct.pack(">4sHHI", b"ASEF", 1, 0, len(blocks)) + packed


def ase_color(model, *values, name="c"):
    text = (name + "\0").encode("utf-16-be")
    content = struct.pack(">H", len(text) // 2) + text + model + struct.pack(f">{len(values)}fH", *values, 0)
    return 1, content


def aco_of(*entries, version=1):
    return struct.pack(">HH", version, len(entries)) + b"".join(struct.pack(">5H", *entry) for entry in entries)


def palette_in(image):
    """Return the palette of an image of these bytes."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(image)
        file.flush()
        found = read_palette_image(file.name)
        return found if found is None else found.colors


def image_of(array, kind="PNG", **options):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind, **options)
    return buffer.getvalue()


# --- there and back ---------------------------------------------------------------------------------------------------


@law
@given(palettes, names, st.booleans(), st.sampled_from(WRITTEN))
def test_every_format_restores_every_palette_in_order(palette, name, weighted, kind):
    data = encode_palette(palette, kind, name=name, shares=shares(palette) if weighted else None)
    found = read_palette(data)
    assert found.dtype == np.uint8
    assert found.tolist() == palette.tolist()


@pytest.mark.parametrize("kind", WRITTEN)
def test_every_level_of_8_bits_and_4096_colors_are_restored(kind):
    rng = np.random.default_rng(0)
    codes = rng.choice(1 << 24, 4096, replace=False)
    palette = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=1).astype(np.uint8)
    assert all(len(set(channel)) == 256 for channel in palette.T.tolist())
    assert np.array_equal(read_palette(encode_palette(palette, kind, shares=shares(palette))), palette)


@pytest.mark.parametrize("kind", WRITTEN)
@pytest.mark.parametrize("name", hostile_names)
def test_no_name_changes_what_is_read_or_adds_a_line(kind, name):
    plain = encode_palette(ROW, kind, name="plain", shares=shares(ROW))
    data = encode_palette(ROW, kind, name=name, shares=shares(ROW))
    assert np.array_equal(read_palette(data), ROW)
    if kind not in ("ase", "aco"):
        assert len(data.decode("utf-8").splitlines()) == len(plain.splitlines())
    if kind == "gpl":  # as long as the lines that GIMP reads
        assert max(map(len, data.splitlines())) < 1024


@pytest.mark.parametrize("kind", WRITTEN)
def test_an_invalid_palette_is_not_written(kind):
    for palette in (ROW.astype(float), ROW[0], ROW[:0], np.zeros((3, 4), np.uint8), np.zeros((4097, 3), np.uint8)):
        with pytest.raises(ParameterError, match="palette has"):
            encode_palette(palette, kind)
    for weights in ([1, 1], [1, 1, -1], [1, 1, np.nan], [0, 0, 1.01], [7, 2, 1]):
        with pytest.raises(ParameterError, match="shares"):
            encode_palette(ROW, kind, shares=weights)


def test_an_unknown_format_is_refused_with_the_known_ones():
    with pytest.raises(ParameterError, match="'act' is unknown; use one of ase, aco, gpl, pal, json, css, hex"):
        encode_palette(ROW, "act")


# --- as others read them ----------------------------------------------------------------------------------------------


def test_a_hex_list_has_one_code_per_line():
    assert encode_palette(ROW, "hex", name="x", shares=shares(ROW)) == b"#1a2b3c\n#ffffff\n#000000\n"


@law
@given(palettes, names)
def test_json_readers_find_schema_name_colors_and_exact_shares(palette, name):
    weights = shares(palette)
    record = json.loads(encode_palette(palette, "json", name=name, shares=weights))
    assert list(record) == ["schema", "name", "colors"]
    assert record["schema"] == "gmmquant-palette/1"
    assert [entry["rgb"] for entry in record["colors"]] == palette.tolist()
    assert [entry["hex"] for entry in record["colors"]] == ["#" + bytes(c).hex() for c in palette.tolist()]
    assert [entry["share"] for entry in record["colors"]] == weights.tolist()
    plain = json.loads(encode_palette(palette, "json", name="My name"))
    assert plain["name"] == "My name"
    assert all("share" not in entry for entry in plain["colors"])


@law
@given(palettes, names)
def test_pillow_reads_the_gimp_palette(palette, name):
    data = encode_palette(palette, "gpl", name=name, shares=shares(palette))
    found, mode = GimpPaletteFile.GimpPaletteFile(io.BytesIO(data)).getpalette()
    assert mode == "RGB"
    assert np.array_equal(np.frombuffer(found, np.uint8).reshape(-1, 3), palette)
    lines = data.decode().split("\n")
    assert lines[0] == "GIMP Palette"
    assert re.fullmatch(r"Name: \S.*", lines[1])
    assert 1 <= int(lines[2].removeprefix("Columns: ")) <= 256


@law
@given(palettes, names)
def test_css_is_one_rule_of_custom_properties_with_identifiers_that_need_no_escape(palette, name):
    text = encode_palette(palette, "css", name=name, shares=shares(palette)).decode("ascii")
    rule = re.fullmatch(r":root \{\n(.*)\}\n", text, re.DOTALL)
    lines = rule[1].splitlines()
    found = [re.fullmatch(r"  --([A-Za-z0-9_-]+)-(\d+): #([0-9a-f]{6}); /\* [0-9.]+% \*/", line) for line in lines]
    assert [[*bytes.fromhex(line[3])] for line in found] == palette.tolist()
    assert [int(line[2]) for line in found] == list(range(1, len(palette) + 1))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Café du Midi!", "Cafe-du-Midi"), ("123", "123"), ("猫", "palette"), ("--", "palette"), ("", "palette")],
)
def test_css_identifiers_keep_the_plain_letters_and_digits_of_a_name(name, expected):
    assert f"  --{expected}-1: #1a2b3c;\n".encode() in encode_palette(ROW, "css", name=name)


@law
@given(palettes, names)
def test_an_ase_file_is_a_group_of_rgb_swatches_by_its_layout(palette, name):
    groups, found = read_by_struct_ase(encode_palette(palette, "ase", name=name))
    assert len(groups) == 1
    assert groups[0].isprintable()
    assert groups[0]
    assert {model for _, model, _ in found} == {b"RGB "}
    assert np.array_equal(np.array([values for _, _, values in found]), (palette / 255).astype(np.float32))
    assert [name for name, _, _ in found] == ["#" + bytes(c).hex() for c in palette.tolist()]


@law
@given(palettes)
def test_an_aco_file_has_both_versions_by_its_layout(palette):
    first, second, captions = read_by_struct_aco(encode_palette(palette, "aco", shares=shares(palette)))
    assert first == second == [(0, *(int(v) * 257 for v in color), 0) for color in palette]
    assert captions[0] == f"#{bytes(palette[0].tolist()).hex()} {100 * shares(palette)[0]:.2f}%"


# --- as others write them ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "GIMP Palette\nName: Bears\nColumns: 4\n#\n# by hand\n 26  43  60\tdark\n255 255 255\n  0   0   0\tUntitled\n",
        "GIMP Palette\n26 43 60\n255 255 255 white\n0 0 0 7 8\n",
        "GIMP Palette\r\nName: a\r\nColumns: 0\r\n#\r\n26\t43\t60\tx\r\n\r\n255 255 255\r\n0 0 0",
        "GIMP Palette\rName: a\r#\r26 43 60\r255 255 255\r0 0 0\r",
        "\ufeffGIMP Palette\nChannels: RGBA\n#\n26 43 60 255 #1a2b3cff\n255 255 255 255\n0 0 0 255 Untitled\n",
        "JASC-PAL\r\n0100\r\n3\r\n26 43 60\r\n255 255 255\r\n0 0 0\r\n",
        "JASC-PAL\n0100\n3\n26 43 60\n255 255 255\n\n0 0 0",
        "#1a2b3c\n#fff\n#000\n",
        "1a2b3c\r\nFFFFFF\r\n000000\r\n",
        "1A2B3C, #FFF,000 // three of them\n; and no more #123456\n",
        ";paint.net Palette File\n;Palette Name: x\n;Colors: 3\nFF1a2b3c\nFFffffff\nFF000000\n",
        ":root { --a: #1a2b3c; --gap: 4px; --b:#FFF ; /* --x: #123; */ --c-d: #000 }\n",
        "--a: #1a2b3c;\n--b: #ffffff;\n--c: #000000;\n",
        ".dark{color:#999;--\u732b:#1a2b3c;--ref:var(--a);--b:#fff}.light{--b:#000}",
        '{"schema": "gmmquant-palette/1", "colors": [{"hex": "#1a2b3c"}, {"hex": "#fff", "x": 1}, {"hex": "#000000"}]}',
    ],
)
def test_palettes_as_other_programs_and_people_write_them_are_read(text):
    assert read_palette(text.encode()).tolist() == ROW.tolist()


def test_a_gimp_palette_with_names_in_an_old_encoding_is_read():
    assert read_palette("GIMP Palette\nName: Bär\n26 43 60\tgrün\n".encode("latin-1")).tolist() == [[26, 43, 60]]


def test_an_ase_file_with_groups_grey_and_blocks_of_other_kinds_is_read():
    title = struct.pack(">H", 3) + "ab\0".encode("utf-16-be")
    data = ase_of(
        ase_color(b"RGB ", 26 / 255, 43 / 255, 60 / 255, name="outside \U0001f43b"),
        (0xC001, title),
        ase_color(b"Gray", 1.0),
        (0x7777, b"a block of a later version"),
        (0xC002, b""),
        (0xC001, title),
        ase_color(b"GRAY", 0.0),
        (0xC002, b""),
    )
    assert read_palette(data).tolist() == ROW.tolist()


@pytest.mark.parametrize("factor", [256, 257])
def test_an_aco_file_of_version_1_alone_is_read_however_8_bits_were_widened(factor):
    levels = np.arange(256)
    entries = [(0, factor * level, factor * (255 - level), 0, 9) for level in levels.tolist()]
    found = read_palette(aco_of(*entries))
    assert found.tolist() == np.stack([levels, 255 - levels, 0 * levels], axis=1).tolist()


def test_an_aco_file_of_version_2_alone_with_hsb_is_read():
    def entry(space, *values, name="n"):
        text = (name + "\0").encode("utf-16-be")
        return struct.pack(">5H", space, *values) + struct.pack(">I", len(text) // 2) + text

    hue, saturation, brightness = 40000, 30000, 50000
    entries = [
        entry(0, 26 * 257, 43 * 257, 60 * 257, 0),
        entry(0, 65535, 65535, 65535, 0, name=""),
        entry(1, 0, 0, 0, 0),
    ]
    entries += [entry(1, hue, saturation, brightness, 0), entry(1, 0, 65535, 65535, 0)]
    found = read_palette(struct.pack(">HH", 2, len(entries)) + b"".join(entries))
    expected = cv2.cvtColor(
        np.array([[[hue / 65535 * 360, saturation / 65535, brightness / 65535]]], np.float32), cv2.COLOR_HSV2RGB
    )
    by_opencv = np.rint(expected[0, 0] * 255).astype(int).tolist()
    assert found.tolist() == [*ROW.tolist(), by_opencv, [255, 0, 0]]
    assert by_opencv == [
        round(255 * v) for v in colorsys.hsv_to_rgb(hue / 65535, saturation / 65535, brightness / 65535)
    ]


# --- files that are refused -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b"\xef\xbb\xbf \n\t", "the file is empty"),
        (b"RIFF\0\0\0\0PAL data", "truncated or damaged"),
        ("#fff".encode("utf-16"), "unknown palette format"),
        (b"; only a comment\n", "contains no colours"),
        (b"#fff\nDear reader\n", "line 2: 'Dear' is not a colour"),
        (b"#fffe\n", "line 1: '#fffe' is not a colour"),
        (b"#1a2b3cfe\n", "'#1a2b3cfe' is not a colour; write #rrggbb, without alpha"),
        (b"FF1a2b3c\n;paint.net\n", "line 1: 'FF1a2b3c' is not a colour"),
        (b";paint.net\nFEffcd75\n", "line 2: 'FEffcd75' is not a colour; write #rrggbb, without alpha"),
        (
            b"GIMP Palette\nChannels: RGBA\n#\n255 205 117 255 a\n255 205 117 128\tHalf\n",
            r"line 5: '255 205 117 128\\tHalf' is not a colour; write 255 for alpha, as a palette has none",
        ),
        (b"GIMP Palette\nChannels: RGBA\n1 2 3 0\n", "line 3: '1 2 3 0' is not a colour; write 255 for alpha"),
        ("٣٣٣\n".encode(), "is not a colour"),
        (b"GIMP Palette\n", "contains no colours"),
        (b"GIMP Palette\nName: x\n1 2 256\n", "line 3: '1 2 256' is not a colour; write three numbers"),
        (b"GIMP Palette\n1 2\n", "line 2: '1 2' is not a colour"),
        (b"GIMP Palette\n1 2 3x\n", "line 2: '1 2 3x' is not a colour"),
        (b"GIMP Palette\n-1 2 3\n", "line 2: '-1 2 3' is not a colour"),
        (b"JASC-PAL\n0100\n3\n1 2 3\n", "line 3 declares '3' colours, but there are 1"),
        (b"JASC-PAL\n0100\n999999999999\n1 2 3\n", "line 3 declares '999999999999' colours"),
        (b"JASC-PAL\n", "line 3 declares '' colours, but there are 0"),
        (b":root{--a: #12345678}", "'--a': '#12345678' is not a colour"),
        (b":root{--a: rgb(1 2 3 / 0)}", "'--a': 'rgb\\(1 2 3 / 0\\)' is not a colour"),
        (b":root{--a: 4px}", "contains no colours"),
        (b"{", "invalid or truncated JSON"),
        (b'{"schema":' + b"[" * 100_000, "invalid or truncated JSON"),
        (b"{}", "JSON without a list of colours"),
        (b'{"schema": ' + b"[" * 500 + b"]" * 500 + b"}", "JSON without a list of colours"),
        (b'{"schema": ' + b"9" * 900 + b"}", "JSON without a list of colours"),
        (b'{"schema": "gmmquant-model/1"}', "JSON without a list of colours"),
        (b'{"schema": "gmmquant-palette/1", "colors": 3}', "JSON without a list of colours"),
        (b'{"schema": "gmmquant-palette/1", "colors": []}', "contains no colours"),
        (b'{"colors": ["#fff", 7]}', "colors, entry 2: 7 is not a colour"),
        (b'{"schema": "gmmquant-palette/1", "colors": [{"hex": 7}]}', "colors, entry 1: 7 is not a colour"),
        (
            b'{"schema": "gmmquant-palette/1", "colors": [{"hex": "#fff"}, {"hex": "#fff", "rgb": [255, 255, 254]}]}',
            "colors, entry 2: hex and rgb differ",
        ),
        (ase_of(), "contains no colours"),
        (ase_of(ase_color(b"CMYK", 0, 0, 0, 1)), "contains a colour in the space CMYK, which has no exact RGB; save"),
        (ase_of(ase_color(b"LAB ", 0.5, 0, 0)), "contains a colour in the space LAB"),
        (ase_of(ase_color(b"\x1b[2J", 0.5, 0, 0)), "colour model b'\\\\x1b\\[2J'"),
        (ase_of(ase_color(b"RGB ", 0.5, np.nan, 0)), "damaged: a swatch has a value outside 0 to 1"),
        (ase_of(ase_color(b"RGB ", 0.5, 1.1, 0)), "damaged: a swatch has a value outside 0 to 1"),
        (ase_of(ase_color(b"RGB ", 0.5, -np.inf, 0)), "damaged: a swatch has a value outside 0 to 1"),
        (struct.pack(">4sHHI", b"ASEF", 1, 0, 2**32 - 1), "truncated"),
        (struct.pack(">4sHHIHI", b"ASEF", 1, 0, 1, 1, 2**32 - 1), "truncated"),
        (ase_of((1, struct.pack(">H", 65535))), "truncated"),
        (ase_of(ase_color(b"Gray", 1.0), (0xC002, b"1234"))[:-1], "truncated"),
        (aco_of(), "contains no colours"),
        (struct.pack(">HH", 1, 65535), "truncated"),
        (aco_of((2, 0, 0, 0, 0)), "contains a colour in the space CMYK"),
        (aco_of((7, 0, 0, 0, 0)), "contains a colour in the space Lab"),
        (aco_of((99, 0, 0, 0, 0)), "contains a colour in the space number 99"),
        (
            aco_of((8, 10000, 0, 0, 0)),
            "contains a colour in the space grey, which has no exact RGB; save the swatches as RGB",
        ),
        (aco_of((0, 0, 0, 0, 0), version=2) + struct.pack(">I", 2**32 - 1), "truncated"),
        (b"#fff\n" * (MAX_BYTES // 5 + 1), f"{MAX_BYTES // 5 * 5 + 5} bytes are above the limit {MAX_BYTES}; use"),
        ("".join(f"{i:06x}\n" for i in range(4097)).encode(), "more than 4096 colours, the limit"),
    ],
)
def test_a_file_that_is_not_a_palette_is_refused_in_one_line_with_position_and_remedy(data, message):
    with pytest.raises(PaletteFileError, match=message) as caught:
        read_palette(data)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200


def test_a_palette_may_repeat_a_color():
    assert read_palette(b"#ff0000\n#00ff00\n#ff0000\n").tolist() == [[255, 0, 0], [0, 255, 0], [255, 0, 0]]


@pytest.mark.parametrize(
    "value",
    [
        *("rgb(1, 2, 256)", "rgb(10%, 0%, 0%)", "hsl(1turn 0% 0%)", "hsl(1 2 3)", "hsl(120, 100%, 50)", "#1a2b3"),
        *(f"{name}(1 2 3)" for name in ("hwb", "lab", "lch", "oklab", "oklch", "color")),
        *("color-mix(in srgb, red, blue)", "LIGHT-DARK(#fff, #000)", "device-cmyk(0, 0, 0, 1)"),
    ],
)
def test_a_color_of_css_without_exact_8_bits_is_refused(value):
    with pytest.raises(PaletteFileError, match=r"'--b': .* is not a colour; write #rrggbb$"):
        read_palette(f":root{{--a: #fff; --b: {value}; --c: #000}}".encode())


@pytest.mark.parametrize(
    "value",
    [
        *("transparent", "Transparent", "#12345678", "#123a", "rgb(1 2 3 / 0)", "rgba(1, 2, 3, 0.5)"),
        *("hsla(1, 2%, 3%, .5)", "hsl(1 2% 3% / 50%)", "oklch(0.5 0.1 20 / 0.5)"),
    ],
)
def test_a_colour_of_css_with_alpha_is_refused_with_that_reason(value):
    with pytest.raises(PaletteFileError, match=r"'--b': .* is not a colour; write #rrggbb, without alpha$"):
        read_palette(f":root{{--a: #fff; --b: {value}; --c: #000}}".encode())


def test_a_number_of_a_programming_language_is_answered_with_the_code():
    with pytest.raises(PaletteFileError, match=r"line 2: '0xff00A0' is not a colour; write #ff00A0$"):
        read_palette(b"#fff\n0xff00A0\n")
    with pytest.raises(PaletteFileError, match=r"entry 1: '0XFF00A0' is not a colour; write #FF00A0$"):
        read_palette(b'["0XFF00A0"]')


@given(st.integers(-720, 720), st.integers(0, 100), st.integers(0, 100))
def test_hsl_is_rounded_as_by_pillow(hue, saturation, lightness):
    expected = list(ImageColor.getrgb(f"hsl({hue % 360}, {saturation}%, {lightness}%)"))
    for value in (
        f"hsl({hue}, {saturation}%, {lightness}%)",
        f"hsl({hue} {saturation}% {lightness}%)",
        f"HSLA({hue}deg, {saturation}.0%,{lightness}%, 1)",
        f"hsl( {hue} {saturation}% {lightness}% / 100%)",
    ):
        assert read_palette(f":root{{--a: {value}}}".encode()).tolist() == [expected]
        assert read_palette(f"{value}\n".encode()).tolist() == [expected]


def test_named_colors_and_rgb_of_css_are_read():
    assert len(ImageColor.colormap) == 148
    values = {
        "Red": [255, 0, 0],
        "rebeccapurple": [102, 51, 153],
        "rgb(1, 2,255)": [1, 2, 255],
        "RGB( 9,8,7 )": [9, 8, 7],
    }
    for value, color in values.items():
        found = read_palette(f":root{{--a: #fff; --b: {value}; --c: #000}}".encode())
        assert found.tolist() == [[255] * 3, color, [0] * 3]


@pytest.mark.parametrize("value", ["4px", "var(--a)", "redder", "calc(1px + 2px)", "linear-gradient(red, blue)"])
def test_css_values_that_are_not_colors_are_skipped(value):
    assert read_palette(f":root{{--a: #fff; --b: {value}; --c: #000}}".encode()).tolist() == [[255] * 3, [0] * 3]


def test_json_of_other_programs_is_read_too():
    for text in (
        '["#ff0000", "#0f0"]',
        '{"colors": ["#ff0000", "#0f0"]}',
        '{"colors": [{"hex": "#ff0000"}, "00ff00"]}',
    ):
        assert read_palette(text.encode()).tolist() == [[255, 0, 0], [0, 255, 0]]


# --- typed ------------------------------------------------------------------------------------------------------------


def test_typed_colors_are_codes_or_names_separated_by_commas():
    assert parse_colors("#1a2b3c,#fff,#000").tolist() == ROW.tolist()
    assert parse_colors(" 1A2B3C , FFF,000").tolist() == ROW.tolist()
    assert parse_colors("black").tolist() == [[0] * 3]
    assert parse_colors("RebeccaPurple, bw").tolist() == [[102, 51, 153], [0] * 3, [255] * 3]


@pytest.mark.parametrize("name", NAMED_PALETTES)
def test_a_named_palette_is_its_colors_without_repetitions(name):
    colors = parse_colors(name)
    assert [bytes(color).hex() for color in colors.tolist()] == list(NAMED_PALETTES[name])
    assert len(np.unique(colors, axis=0)) == len(colors)
    digits = re.search(r"\d+$", name)
    assert name == "c64" or name == "pico8" or digits is None or len(colors) == int(digits[0])


@pytest.mark.parametrize(
    ("text", "names"), [("gamboy", "gameboy"), ("bw,rebecapurple", "rebeccapurple"), ("pico-8", "pico8")]
)
def test_an_unknown_name_lists_those_that_are_similar(text, names):
    with pytest.raises(ParameterError, match=names):
        parse_colors(text)


def test_the_names_of_colors_are_those_of_matplotlib():
    matplotlib = pytest.importorskip("matplotlib.colors")
    assert {name: code.lower() for name, code in matplotlib.CSS4_COLORS.items()} == {
        name: f"#{bytes(parse_color(name)).hex()}" for name in color_names()
    }


@pytest.mark.parametrize(
    ("text", "bad"),
    [
        ("", "''"),
        ("#fff,", "''"),
        ("#fff,rad", "'rad'"),
        ("#fff ; #00", "'#00'"),
        ("#12345", "'#12345'"),
        ("#fff,\x1b[2J", "'\\x1b[2J'"),
        ("x" * 10**6, "'" + "x" * 37 + "...'"),
    ],
)
def test_an_invalid_typed_color_is_shown(text, bad):
    with pytest.raises(ParameterError) as caught:
        parse_colors(text)
    remedy = "did you mean red?" if "rad" in text else "use hex codes or names of CSS, as in #1a2b3c,#fff,red"
    assert str(caught.value).startswith(f"{bad} is not a colour, a palette or a file; {remedy}")


@pytest.mark.parametrize("text", ["#fff,#000", "#fff #000", " white;black ", "#fff, #000", "FFF ; 000"])
def test_typed_colors_are_separated_by_commas_semicolons_or_spaces(text):
    assert parse_colors(text).tolist() == [[255] * 3, [0] * 3]


def test_equal_colors_keep_their_indices():
    assert parse_colors("red,RED,#f00").tolist() == [[255, 0, 0]] * 3


def test_a_jasc_palette_has_lines_that_end_as_on_windows():
    assert encode_palette(ROW, "pal") == b"JASC-PAL\r\n0100\r\n3\r\n26 43 60\r\n255 255 255\r\n0 0 0\r\n"


# --- images ---------------------------------------------------------------------------------------------------------


@law
@given(palettes)
def test_a_chart_of_swatches_restores_the_palette(palette):
    found = palette_in(encode_swatches(palette))
    assert found.tolist() == (palette.tolist() if len(palette) <= 256 else each_once(palette))


@pytest.mark.parametrize("n_colors", [1, 2, 7, 8, 9, 13, 37, 256, 257, 4093])
def test_a_chart_is_flat_swatches_of_nearly_one_size_in_reading_order(n_colors):
    codes = np.arange(n_colors) * 4099 % (1 << 24)
    palette = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=1).astype(np.uint8)
    data = encode_swatches(palette)
    with Image.open(io.BytesIO(data)) as image:
        assert image.info["Software"] == "gmmquant"
        assert image.mode == ("P" if n_colors <= 256 else "RGB")
        pixels = np.asarray(image.convert("RGB"))
    assert np.array_equal(cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), 1), cv2.COLOR_BGR2RGB), pixels)
    assert max(pixels.shape) <= 1440
    assert palette_in(data).tolist() == palette.tolist()

    red, green, blue = pixels.reshape(-1, 3).T.astype(int)
    found, labels, counts = np.unique(red << 16 | green << 8 | blue, return_inverse=True, return_counts=True)
    assert found.tolist() == sorted(codes.tolist())
    assert counts.max() <= 1.35 * counts.min()
    labels = labels.reshape(pixels.shape[:2])
    for label in range(0, n_colors, n_colors // 10 + 1):  # each a rectangle, and large enough to see
        y, x = np.nonzero(labels == label)
        sides = np.ptp(y) + 1, np.ptp(x) + 1
        assert sides[0] * sides[1] == len(y)
        assert min(sides) >= 16


@pytest.mark.parametrize("n_colors", [12, 20, 64, 256, 4096])
def test_a_number_that_fills_rows_of_a_pleasant_length_gives_equal_squares(n_colors):
    palette = np.stack([np.arange(n_colors) >> 8, np.arange(n_colors) & 255, np.zeros(n_colors)], axis=1)
    with Image.open(io.BytesIO(encode_swatches(palette.astype(np.uint8)))) as image:
        width, height = image.size
        counts = [count for count, _ in image.convert("RGB").getcolors(4096)]
    side = int(np.sqrt(counts[0]))
    assert set(counts) == {side * side}
    assert width % side == height % side == 0
    assert height <= width <= 2 * height


def test_no_swatch_is_larger_than_the_first(tmp_path):
    palette = np.arange(39, dtype=np.uint8).reshape(13, 3)
    data = encode_swatches(palette)
    with Image.open(io.BytesIO(data)) as image:
        pixels = np.asarray(image.convert("RGB"))
    assert pixels[0, 0].tolist() == palette[0].tolist()
    _, counts = np.unique(pixels.reshape(-1, 3), axis=0, return_counts=True)
    assert counts[0] == counts.max() > counts.min()
    (tmp_path / "chart.png").write_bytes(data)
    assert is_gmmquant_output(tmp_path / "chart.png")


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("WEBP", {"lossless": True})])
def test_other_images_have_their_distinct_colors_in_reading_order(kind, options):
    pixels = np.array([[[9, 9, 9], [1, 2, 3], [9, 9, 9]], [[0, 0, 0], [255, 0, 0], [1, 2, 3]]], dtype=np.uint8)
    found = palette_in(image_of(pixels, kind, **options))
    assert found.tolist() == [[9, 9, 9], [1, 2, 3], [0, 0, 0], [255, 0, 0]]


@pytest.mark.parametrize("kind", ["AVIF", "JPEG2000", "PPM"])
def test_images_of_every_input_format_have_a_palette(kind):
    options = {"AVIF": {"quality": 100, "subsampling": "4:4:4"}}.get(kind, {})
    pixels = np.repeat(np.repeat(np.array([[[0, 0, 0], [255, 255, 255]]], dtype=np.uint8), 32, axis=0), 32, axis=1)
    data = image_of(pixels, kind, **options)
    found = palette_in(data)
    with Image.open(io.BytesIO(data)) as image:
        assert found.tolist() == each_once(np.asarray(image.convert("RGB")).reshape(-1, 3))
    assert len(found) >= 2


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("indexed", [False, True])
def test_a_palette_is_in_srgb_whatever_the_profile_of_its_image(kind, indexed):
    palette = np.array([[200, 20, 20], [9, 9, 9], [20, 120, 220]], dtype=np.uint8)
    labels = np.array([[2, 0], [2, 2]], dtype=np.uint8)
    if indexed:
        image = Image.fromarray(labels)
        image.putpalette(palette.tobytes())
    else:
        image = Image.fromarray(palette[labels])
    buffer = io.BytesIO()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = profile.replace(b"rXYZ", b"----", 1).replace(b"bXYZ", b"rXYZ", 1).replace(b"----", b"bXYZ", 1)
    image.save(buffer, kind, icc_profile=swapped)
    expected = palette[[0, 1, 2] if indexed else [2, 0], ::-1]  # red is blue there
    assert np.abs(palette_in(buffer.getvalue()).astype(int) - expected).max() <= 1


def test_the_palette_of_an_animation_is_that_of_the_first_frame():
    frames = [Image.fromarray(np.full((4, 4, 3), level, dtype=np.uint8)) for level in (10, 200)]
    for kind in ("PNG", "GIF", "WEBP"):
        buffer = io.BytesIO()
        frames[0].save(buffer, kind, save_all=True, append_images=frames[1:], lossless=True)
        assert palette_in(buffer.getvalue()).tolist() == [[10] * 3]


def test_a_rotated_indexed_image_has_the_palette_of_its_entries():
    image = Image.fromarray(np.array([[2, 0, 1]], dtype=np.uint8))
    image.putpalette(np.arange(9, dtype=np.uint8).tobytes())
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[274] = 3
    image.save(buffer, "PNG", exif=exif)
    assert palette_in(buffer.getvalue()).tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]


def test_invisible_pixels_have_no_color_and_others_count_whatever_their_alpha():
    pixels = np.array([[[9, 9, 9, 0], [1, 2, 3, 1], [4, 5, 6, 255], [1, 2, 3, 255]]], dtype=np.uint8)
    assert palette_in(image_of(pixels)).tolist() == [[1, 2, 3], [4, 5, 6]]
    with pytest.raises(PaletteFileError, match="contains no colours"):
        palette_in(image_of(pixels[:, :1]))


def test_an_image_of_too_many_colors_pixels_or_bits_is_refused_as_a_palette():
    codes = np.arange(4097)
    pixels = np.stack([codes >> 8, codes & 255, codes & 1], axis=1).astype(np.uint8)[np.newaxis]
    assert len(palette_in(image_of(pixels[:, :-1]))) == 4096
    with pytest.raises(PaletteFileError, match="an image of 4097 colours is above the limit 4096 of a palette; use"):
        palette_in(image_of(pixels))
    for deep in (np.zeros((2, 2), np.uint16), np.zeros((2, 2, 3), np.uint16)):
        with pytest.raises(PaletteFileError, match="more than 8 bits per channel"):
            palette_in(cv2.imencode(".png", deep)[1].tobytes())
    with pytest.raises(PaletteFileError, match="more than 8 bits per channel"):
        palette_in(image_of(np.zeros((2, 2), np.float32), "TIFF"))
    with pytest.raises(PaletteFileError, match="use an undamaged image with 8 bits per channel"):
        palette_in(image_of(np.zeros((2, 2), np.int32), "TIFF"))
    header = b"IHDR" + struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    huge = b"\x89PNG\r\n\x1a\n\0\0\0\r" + header + struct.pack(">I", zlib.crc32(header)) + b"\0\0\0\0IDAT"
    with pytest.raises(PaletteFileError, match="100000 x 100000 pixels is above the limit 16777216; use"):
        palette_in(huge)


def test_a_file_that_is_not_an_image_gives_none_and_a_damaged_image_an_error():
    assert palette_in(b"#fff\n") is None
    assert palette_in(b"") is None
    data = encode_swatches(ROW)
    with pytest.raises(PaletteFileError, match="damaged or incomplete PNG image; use an undamaged image with 8 bits"):
        palette_in(data[: data.index(b"IDAT") + 12])


# --- any file ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*WRITTEN, "png"])
def test_a_palette_is_read_from_a_file_whatever_its_name(tmp_path, kind):
    path = tmp_path / "palette.txt"
    path.write_bytes(encode_palette(ROW, kind, name="x", formats=ALL_FORMATS))
    assert load_palette(path).tolist() == ROW.tolist()


def test_the_png_of_a_palette_is_a_chart_in_its_order():
    data = encode_palette(ROW, "png", name="x", shares=shares(ROW), formats=ALL_FORMATS)
    assert data == encode_swatches(ROW)


def test_only_regular_files_of_bounded_size_are_read(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        with pytest.raises(OSError, match="No such device"):
            load_palette(tmp_path / "socket")
    for name in ("pipe", "."):
        with pytest.raises(PaletteFileError, match="not a regular file"):
            load_palette(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        load_palette(tmp_path / "none")
    (tmp_path / "large").write_bytes(b"#fff\n" * 10)
    monkeypatch.setattr(palette_image, "MAX_BYTES", 49)
    with pytest.raises(PaletteFileError, match="more than 49 bytes, the limit"):
        load_palette(tmp_path / "large")


def test_the_error_is_public_and_a_gmmquant_error():
    assert gmmquant.PaletteFileError is PaletteFileError
    assert issubclass(PaletteFileError, gmmquant.GmmquantError)


def mutants(data, rng, n):
    """Give damaged copies of a file: bytes changed, removed, doubled or overwritten, or the end cut off."""
    for _ in range(n):
        mutant = bytearray(data)
        for _ in range(rng.integers(1, 4)):
            at = int(rng.integers(len(mutant) + 1))
            length = int(rng.integers(1, 9))
            kind = rng.integers(5)
            if kind == 0:
                mutant[at : at + length] = rng.bytes(length)
            elif kind == 1:
                del mutant[at : at + length]
            elif kind == 2:
                mutant[at:at] = mutant[at : at + 40]
            elif kind == 3:
                del mutant[at:]
            else:
                mutant[at : at + length] = bytes([rng.choice([0, 255, 127, 10, 44])]) * length
        yield bytes(mutant)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", [*WRITTEN, "png", "gif", "tiff"])
def test_a_damaged_file_is_read_or_refused_and_nothing_is_printed(tmp_path, kind, capfd):
    rng = np.random.default_rng(zlib.crc32(kind.encode()))
    palette = rng.integers(0, 256, size=(12, 3), dtype=np.uint8)
    if kind == "png":
        data = encode_swatches(palette)
    elif kind == "gif":
        data = image_of(palette[np.newaxis], "GIF")
    elif kind == "tiff":
        data = image_of(palette[np.newaxis], "TIFF", compression="tiff_lzw")
    else:
        data = encode_palette(palette, kind, name="name", shares=shares(palette))
    assert len(palette_in(data) if kind in ("png", "gif", "tiff") else read_palette(data)) == 12
    path = tmp_path / "mutant"
    refused = 0
    for mutant in mutants(data, rng, 250):
        path.write_bytes(mutant)
        try:
            found = load_palette(path)
        except PaletteFileError as error:
            refused += 1
            assert str(error).isprintable()
            assert len(str(error)) < 250
        else:
            assert found.dtype == np.uint8
            assert found.shape[1:] == (3,)
            assert 1 <= len(found) <= 4096
    assert 30 < refused < 250 or kind == "png"
    assert capfd.readouterr() == ("", "")


def test_the_command_offers_the_formats_that_there_are():
    assert {entry.name for entry in ALL_FORMATS if entry.encode} == set(gmmquant.settings.PALETTE_FORMATS)
