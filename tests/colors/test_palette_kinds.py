"""Palettes as tables of bytes, colours of CSS and JSON in other notations, and the names of colours."""

import json
import re
import struct

import numpy as np
import pytest
from helpers import read_palette
from PIL import Image

from gmmquant.colors.palette_files import FORMATS, encode_palette, read_named_palette
from gmmquant.errors import PaletteFileError, ParameterError
from gmmquant.images.palette_image import ALL_FORMATS
from gmmquant.images.palette_input import read_palette as read_typed
from gmmquant.parsing import hex_codes, split_colors

ROW = np.array([[26, 43, 60], [255, 255, 255], [0, 0, 0]], dtype=np.uint8)
NAMED = b"GIMP Palette\nName: x\n#\n 26  43  60\tdark  sea\n255 255 255\tUntitled\n  0   0   0\tIndex 3\n"


def riff(colors, *, before=b"", after=b"", version=0x300, count=None):
    entries = b"".join(bytes(color) + b"\5" for color in colors)
    body = struct.pack("<HH", version, len(colors) if count is None else count) + entries
    content = b"PAL " + before + b"data" + struct.pack("<I", len(body)) + body + after
    return b"RIFF" + struct.pack("<I", len(content)) + content


def act(colors, count=None, transparent=0xFFFF):
    table = b"".join(bytes(color) for color in colors).ljust(768, b"\0")
    return table + (b"" if count is None else struct.pack(">HH", count, transparent))


# --- tables -----------------------------------------------------------------------------------------------------------


def test_a_riff_palette_is_read_between_chunks_of_other_kinds():
    chunk = b"LIST" + struct.pack("<I", 3) + b"abc\0"
    for before in (b"", chunk, chunk + chunk):
        for after in (b"", chunk):
            assert read_palette(riff(ROW.tolist(), before=before, after=after)).tolist() == ROW.tolist()


@pytest.mark.parametrize(
    "data",
    [
        riff([[1, 2, 3]])[:-1],
        riff([[1, 2, 3]], count=2),
        riff([[1, 2, 3]], version=2),
        riff([])[:20],
        b"RIFF\0\0\0\0PAL ",
    ],
)
def test_a_damaged_riff_palette_is_refused(data):
    with pytest.raises(PaletteFileError, match="truncated or damaged"):
        read_palette(data)


def test_a_riff_palette_of_no_colors_is_refused():
    with pytest.raises(PaletteFileError, match="contains no colours"):
        read_palette(riff([]))


def test_a_color_table_has_256_colors_or_as_many_as_it_states():
    every = [[n, 255 - n, n // 2] for n in range(256)]
    assert read_palette(act(every)).tolist() == every
    assert read_palette(act(every, 0)).tolist() == every
    assert read_palette(act(ROW.tolist(), 3)).tolist() == ROW.tolist()


def test_the_transparent_entry_of_a_color_table_is_not_a_color():
    assert read_palette(act(ROW.tolist(), 3, 1)).tolist() == [ROW[0].tolist(), ROW[2].tolist()]


def test_a_text_of_the_length_of_a_color_table_stays_a_text():
    text = b"#1a2b3c\n" * 96
    assert len(text) == 768
    assert read_palette(text).tolist() == [[26, 43, 60]] * 96


def test_swatches_of_photoshop_of_the_length_of_a_color_table_stay_swatches():
    first = struct.pack(">HH", 1, 20) + struct.pack(">5H", 0, 6682, 11051, 15420, 0) * 20
    data = first.ljust(772, b"\0")
    assert read_palette(data).tolist() == [[26, 43, 60]] * 20


# --- notations --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        "#2c2137",
        "#2c2137ff",
        "#2C2137FF",
        "rgb(44 33 55)",
        "rgb(44 33 55 / 1)",
        "rgb(44 33 55/100%)",
        "rgb(44, 33, 55)",
        "rgba(44, 33, 55, 1)",
        "rgba(44,33,55,1.0)",
        "RGB( 44 33  55 )",
    ],
)
def test_every_opaque_notation_of_rgb_in_css_is_read(value):
    assert read_palette(f":root{{--c: {value};}}".encode()).tolist() == [[44, 33, 55]]


@pytest.mark.parametrize(
    "value",
    [
        "#2c213780",
        "#2c20",
        "rgb(44 33 55 / 0.5)",
        "rgba(44, 33, 55, .9)",
        "rgb(44 33, 55)",
        "rgb(44 33 55 55)",
        "rgb(44, 33, 55 / 1)",
        "rgb(44 33 256)",
        "rgb(44 33 55 / 10)",
    ],
)
def test_a_color_of_css_that_is_translucent_or_no_rgb_is_refused(value):
    with pytest.raises(PaletteFileError, match="is not a colour"):
        read_palette(f":root{{--c: {value};}}".encode())


def test_a_short_code_with_opaque_alpha_is_a_color():
    assert read_palette(b":root{--c: #1a2f;}").tolist() == [[17, 170, 34]]
    assert read_palette(b"#1a2f\n#1a2b3cff\n").tolist() == [[17, 170, 34], [26, 43, 60]]


def test_rounded_notations_of_a_color_that_is_known_exactly_are_skipped():
    exact = ["--a: #2c2137ff;", "--b: #764462ff;"]
    rounded = ["--a: hsla(270, 25%, 17%, 1);", "--b: hsla(324, 27%, 36%, 1);", "--a: lab(1 2 3);"]
    for lines in (exact + rounded, rounded + exact):
        assert read_palette("\n".join(lines).encode()).tolist() == [[44, 33, 55], [118, 68, 98]]
    more = [*exact, *rounded, "--c: hsl(270 25% 17%);"]
    assert read_palette("\n".join(more).encode()).tolist() == [[44, 33, 55], [118, 68, 98], [43, 33, 54]]


@pytest.mark.parametrize(
    "record",
    [
        [[44, 33, 55], [0, 255, 0]],
        {"colors": [[44, 33, 55], [0, 255, 0]]},
        [{"rgb": [44, 33, 55]}, {"rgb": [0, 255, 0], "name": "green"}],
        [{"hex": "2c2137", "rgb": [44, 33, 55]}, "#00ff00ff"],
    ],
)
def test_json_lists_of_numbers_are_colors(record):
    assert read_palette(json.dumps(record).encode()).tolist() == [[44, 33, 55], [0, 255, 0]]


@pytest.mark.parametrize(
    "entry", [[1, 2], [1, 2, 3, 4], [1, 2, 256], [-1, 2, 3], [1.5, 2, 3], [True, 2, 3], ["1", "2", "3"], {}, None, 7]
)
def test_a_json_entry_that_is_no_color_is_refused_with_its_number(entry):
    with pytest.raises(PaletteFileError, match=r"entry 2: .* is not a colour") as caught:
        read_palette(json.dumps(["#fff", entry]).encode())
    assert len(str(caught.value)) < 200


# --- names ------------------------------------------------------------------------------------------------------------


def test_a_gimp_palette_names_its_colors_but_for_placeholders():
    colors, names = read_named_palette(NAMED)
    assert colors.tolist() == ROW.tolist()
    assert names == {"#1a2b3c": "dark sea"}


def test_the_alpha_of_a_palette_of_aseprite_is_not_part_of_a_name():
    text = b"GIMP Palette\nChannels: RGBA\n#\n26 43 60 255\tdark sea\n255 255 255 255 white\n0 0 0 255\n"
    assert read_named_palette(text)[1] == {"#1a2b3c": "dark sea", "#ffffff": "white"}


@pytest.mark.parametrize("kind", ["gpl", "json", "ase"])
@pytest.mark.parametrize("shares", [None, [0.5, 0.25, 0.25]])
def test_names_are_written_and_read_back_whatever_the_shares(kind, shares):
    names = {"#1a2b3c": "dark sea", "#000000": "10 monkeys"}
    data = encode_palette(ROW, kind, names=names, shares=shares)
    colors, found = read_named_palette(data)
    assert colors.tolist() == ROW.tolist()
    assert found == names
    assert read_named_palette(encode_palette(ROW, kind, shares=shares))[1] == {}


@pytest.mark.parametrize("name", ["*/ } --x: #123456; /*", "**//", "/*", "a\nb", "\x1b[2J", '"', "</script>", "\u2028"])
@pytest.mark.parametrize("kind", [entry.name for entry in FORMATS if entry.encode])
def test_no_name_of_a_color_changes_what_is_read_or_adds_a_line(kind, name):
    data = encode_palette(ROW, kind, names={"#ffffff": name}, shares=[0.5, 0.25, 0.25])
    assert read_palette(data).tolist() == ROW.tolist()
    plain = encode_palette(ROW, kind, names={"#ffffff": "x"}, shares=[0.5, 0.25, 0.25])
    if kind not in ("ase", "aco"):
        assert len(data.decode().splitlines()) == len(plain.decode().splitlines())
        assert "\x1b" not in data.decode()


def test_css_has_names_in_comments():
    text = encode_palette(ROW, "css", names={"#1a2b3c": "dark sea"}, shares=[0.5, 0.25, 0.25]).decode()
    assert "--palette-1: #1a2b3c; /* dark sea 50.00% */" in text
    assert "--palette-2: #ffffff; /* 25.00% */" in text
    plain = encode_palette(ROW, "css", names={"#1a2b3c": "dark sea"}).decode()
    assert re.findall(r"/\*.*?\*/", plain) == ["/* dark sea */"]


def test_every_format_takes_names():
    for entry in ALL_FORMATS:
        if entry.encode:
            assert encode_palette(ROW, entry.name, names={"#1a2b3c": "dark sea"}, formats=ALL_FORMATS)


def test_the_command_carries_names_of_a_palette_to_its_palettes(tmp_path, command):
    (tmp_path / "named.gpl").write_bytes(NAMED)
    Image.fromarray(ROW[np.arange(64).reshape(8, 8) % 3]).save(tmp_path / "in.png")
    for options in ((), ("--shared",)):
        result = command(
            "in.png", "--palette", "named.gpl", "--palette-out", "gpl,css,json", "-o", "out", "--force", *options
        )
        assert result.returncode == 0, result.stderr
        files = {path.suffix: path.read_text() for path in (tmp_path / "out").glob("*palette*")}
        assert "\tdark sea " in files[".gpl"]
        assert "/* dark sea " in files[".css"]
        assert [entry.get("name") for entry in json.loads(files[".json"])["colors"]] == ["dark sea", None, None]


# --- hex codes --------------------------------------------------------------------------------------------------------


def test_a_hex_list_may_have_comments_and_names_of_colours():
    text = b"# my palette\n; by hand\n##\n#\n#1a2b3c # the sea\nWhite, #000 // and black\n"
    assert read_palette(text).tolist() == ROW.tolist()


@pytest.mark.parametrize("line", ["#whit", "#no", "whit # white"])
def test_a_wrong_word_of_a_hex_list_is_no_comment(line):
    with pytest.raises(PaletteFileError, match=r"line 2: '.*' is not a colour"):
        read_palette(f"#fff\n{line}\n".encode())


NIGHT = [[0x11, 0x22, 0x33], [0xFF, 0xEE, 0xDD], [0xC0, 0x20, 0x20]]


@pytest.mark.parametrize(
    "text",
    [
        "112233;ffeedd;c02020",
        "112233;ffeedd;c02020;",
        "#112233 ; #ffeedd ; #c02020",
        "112233; ffeedd c02020 // night",
        "112233\nffeedd;c02020 # night",
        "112233 ; midnight\nffeedd;\nc02020 ; red\n; only a comment of 24 words, and no 112233",
        ";paint.net Palette File\n;FF445566\nFF112233;FFffeedd\nFFc02020 ; blood",
        "rgb(17, 34, 51)\nrgb(255 238 221);rgba(192,32,32,1)",
        "112233 ; shade 500\nffeedd ; 100\nc02020",
    ],
)
def test_a_semicolon_of_a_hex_list_separates_codes_and_begins_a_comment_before_words(text):
    assert read_palette(text.encode()).tolist() == NIGHT


def test_a_semicolon_directly_between_names_of_colours_separates_them():
    assert read_palette(b"white;red;navy\n").tolist() == [[255] * 3, [255, 0, 0], [0, 0, 128]]
    assert read_palette(b"fff;f00;008\n").tolist() == [[255] * 3, [255, 0, 0], [0, 0, 136]]


@pytest.mark.parametrize(
    "line", ["112233; warm; ffeedd", "112233;ffeedd; c02020 warm", "112233 ; was #112244", "; ffeedd", ";ffeedd;c02020"]
)
def test_a_semicolon_that_may_hide_colours_is_refused(line):
    with pytest.raises(PaletteFileError, match=r"line 2: '.*' can be colours or a comment; write commas between"):
        read_palette(f"445566\n{line}\n".encode())


# --- rgb() as it is typed ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["rgb(255,0,0),#fff", "rgb(255, 0, 0) ; #fff", "RGB(255 0 0) white", "rgb(255 0 0 / 1),rgba(255,255,255,1)"]
)
def test_typed_rgb_functions_are_colours(text):
    assert read_typed(text).tolist() == [[255, 0, 0], [255] * 3]
    assert hex_codes(text) == ("#ff0000", "#ffffff")


RGB, HSL = "three integers from 0 to 255, as in rgb(255,0,0)", "a hue and two percentages, as in hsl(120,100%,50%)"


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        *((text, RGB) for text in ("rgb(255,0,256)", "rgb(100%,0%,0%)", "rgb(255,0,0", "rgb(1,2)")),
        *((text, HSL) for text in ("hsl(1,2,3)", "HSL(1rad 2% 3%)", "hsl(1)")),
        *((text, RGB.replace(",", ", without alpha,", 1)) for text in ("rgb(255,0,0,0.5)", "rgba(1 2 3 / 50%)")),
        *((text, HSL.replace(",", ", without alpha,", 1)) for text in ("hsl(1,2%,3%,0.5)", "HSLA(1 2% 3% / 50%)")),
        ("0xff0000", "use #ff0000"),
    ],
)
def test_another_notation_is_shown_with_a_remedy(text, remedy):
    with pytest.raises(ParameterError, match=rf"is not a colour.*; (use )?{re.escape(remedy)}$"):
        read_typed(f"white,{text}")


def test_hsl_may_be_typed():
    for text in ("hsl(120,100%,50%),red", "hsl(120 100% 50% / 1) #f00"):
        assert read_typed(text).tolist() == [[0, 255, 0], [255, 0, 0]]


def test_many_parentheses_are_split_in_one_pass():
    text = "(," * 20_000
    assert len(split_colors(text)) == 20_001
