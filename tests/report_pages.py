"""Pages of the HTML report, read back: records and images of small runs, elements, texts and values."""

import json
import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from helpers import read_sample

from gmmquant import Quantizer, Settings
from gmmquant.images.encoding.encode import encode_image
from gmmquant.report.html.index import HtmlIndex
from gmmquant.report.record import build_record, fit_record

VOID = {"meta", "link", "img", "input", "br", "hr"}

# Elements of which HTML allows the end tag to be left out are always closed on our pages.
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'onmouseover='alert(1)",
    "</style><script>alert(1)</script>",
    "\u202egpj.exe\u2066",
    "\x1b[31mred\x07",
    "two\nlines\r\ttabs",
    "=1+2",
    "caf\udce9.jpg",
    "{{ 7 * 7 }}{% raw %}",
]


def run_of(image, ks, *, name="cat.jpg", n_bytes=50_163, notes=(), asked=None, n_frames=1, **settings):
    """Return the record of an array in each of `ks` colours, and its recoloured images."""
    quantizer = (
        Quantizer(image, Settings(**settings), n_frames=n_frames)
        if n_frames > 1
        else Quantizer(image, Settings(**settings))
    )
    results = [quantizer.fit(k) for k in ks]
    images = [result.recolored for result in results]
    fits = [
        fit_record(result, {"image": f"cat_k{result.k}.png"}, n_bytes=len(encode_image(each, "png")), asked=asked)
        for result, each in zip(results, images, strict=True)
    ]
    return build_record(name, Path("/out/cat_report.json"), quantizer, fits, n_bytes=n_bytes, notes=notes), images


def html_index(entries, title="Images", command=None):
    """Return the index of some images."""
    index = HtmlIndex(title, command)
    for entry in entries:
        index.add_entry(entry)
    return index.finish()["index"]


def small_cat():
    """Return the cat at a third of its size."""
    return np.ascontiguousarray(read_sample("cat.jpg")[::3, ::3])


class Element:
    def __init__(self, tag, attributes, parent=None):
        self.tag, self.attributes, self.parent = tag, attributes, parent
        self.children = []

    def __getitem__(self, name):
        return self.attributes.get(name)

    @property
    def text(self):
        """The text of the element and those inside, with single spaces."""
        parts = [child if isinstance(child, str) else child.text for child in self.children]
        return " ".join("".join(parts).split())

    @property
    def raw_text(self):
        return "".join(child if isinstance(child, str) else child.raw_text for child in self.children)

    def walk(self):
        yield self
        for child in self.children:
            if isinstance(child, Element):
                yield from child.walk()

    def all(self, tag=None, **attributes):
        """Return the elements inside with a tag and attributes; `class_` is one class of theirs."""
        class_ = attributes.pop("class_", None)
        wanted = {name.replace("_", "-"): value for name, value in attributes.items()}
        return [
            each
            for each in self.walk()
            if (tag is None or each.tag == tag)
            and (class_ is None or class_ in (each["class"] or "").split())
            and all(name in each.attributes and value in (True, each[name]) for name, value in wanted.items())
        ]

    def one(self, tag=None, **attributes):
        (found,) = self.all(tag, **attributes)
        return found


class Reader(HTMLParser):
    """Reads a page into elements; an end tag that does not match is an error."""

    def __init__(self):
        super().__init__()
        self.root = self.open = Element("", {})

    def handle_starttag(self, tag, attrs):
        assert len({name for name, _ in attrs}) == len(attrs), f"an attribute of {tag} occurs twice"
        element = Element(tag, dict(attrs), self.open)
        self.open.children.append(element)
        if tag not in VOID:
            self.open = element

    def handle_endtag(self, tag):
        assert tag == self.open.tag, f"</{tag}> closes <{self.open.tag}>"
        self.open = self.open.parent

    def handle_data(self, data):
        self.open.children.append(data)


def without_record(page):
    """Return a page without the record that it holds as JSON, which ends no element."""
    before, start, rest = page.partition(b'<script type="application/json" id="record">')
    data, _, after = rest.partition(b"</script>")
    if not start:
        return page
    assert b"<" not in data
    assert data.isascii()
    assert json.loads(data)["fits"] is not None
    return before + after


def parsed(page):
    """Return the root of a page, whose elements are all closed in order, without its record."""
    reader = Reader()
    reader.feed(without_record(page).decode())
    reader.close()
    assert reader.open is reader.root
    return reader.root


def values(element):
    """Return the exact values and the texts that an element shows."""
    return [(data["value"], data.text) for data in element.all("data")]


def check_self_contained(page):
    """Assert that a page refers to nothing outside, and that its policy allows its style and script, and no other."""
    root = parsed(page)
    for element in root.walk():
        for name, value in element.attributes.items():
            assert not name.startswith("on"), f"inline handler {name}"
            assert name != "style", "style attribute"
            if name in ("src", "poster", "srcset", "data", "action", "formaction", "xlink:href"):
                assert value.startswith("data:image/"), value[:80]
            if name == "href":
                assert value.startswith(("#", "./", "data:,")), value[:80]
    (policy,) = [meta["content"] for meta in root.all("meta") if meta["http-equiv"] == "Content-Security-Policy"]
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert directives["default-src"] == "'none'"
    assert directives["img-src"] == "data:"
    for tag in ("style", "script"):
        text = root.one(tag).raw_text
        assert directives[f"{tag}-src"] == f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
        assert not re.search(r"https?:|//\w+\.|@import|url\(|fetch\(|XMLHttpRequest|eval\(", text)
    assert not re.search(rb"https?:", page)
    return root
