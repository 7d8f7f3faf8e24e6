"""The documentation site: it is built without a warning, its links lead somewhere, and it needs no network."""

import re
import runpy
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from types import SimpleNamespace
from urllib.parse import unquote, urldefrag

import pytest
from helpers import blocks
from waiting import GUARD_SECONDS

pytest.importorskip("furo", reason="the group docs is not installed")

pytestmark = pytest.mark.slow

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WAIT_MS = 1000 * GUARD_SECONDS

# Elements that make a browser load what an attribute names; a link of `a` is only followed.
LOADED = {"img": "src", "script": "src", "link": "href", "iframe": "src", "source": "srcset", "object": "data"}


class Page(HTMLParser):
    """The links, anchors and images of a page."""

    def __init__(self, text):
        super().__init__()
        self.anchors, self.followed, self.loaded, self.images, self.text = set(), [], [], [], text
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.anchors |= {attributes[name] for name in ("id", "name") if attributes.get(name)}
        if tag == "a" and attributes.get("href"):
            self.followed.append(attributes["href"])
        if attributes.get(LOADED.get(tag, "")):
            self.loaded.append(attributes[LOADED[tag]])
        if tag == "img":
            self.images.append(attributes)


@pytest.fixture(scope="module")
def site(project, tmp_path_factory):
    """The site, built into a temporary folder: its pages by name, and the messages of Sphinx."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", project / "docs", folder]
    result = subprocess.run(command, capture_output=True, text=True)
    pages = {
        str(path.relative_to(folder)): Page(path.read_text(encoding="utf-8"))
        for path in folder.rglob("*.html")
        if "_static" not in path.parts
    }
    return SimpleNamespace(folder=folder, pages=pages, result=result)


def test_the_site_is_built_without_a_warning(site):
    assert site.result.stderr == ""
    assert site.result.returncode == 0


def test_make_docs_builds_with_warnings_as_errors_into_a_folder_that_is_ignored_and_cleaned(project):
    makefile = (project / "Makefile").read_text(encoding="utf-8")
    assert "sphinx -q -W --keep-going docs site\n" in makefile
    assert " site " in re.search(r"^clean:.*\n\trm -rf (.*)$", makefile, flags=re.MULTILINE)[0]
    assert "site/" in (project / ".gitignore").read_text(encoding="utf-8").splitlines()


def test_every_page_of_docs_is_in_the_site_and_in_its_menu(project, site):
    docs = project / "docs"
    names = {path.relative_to(docs).with_suffix(".html").as_posix() for path in docs.rglob("*.md")}
    assert len(names) > 40
    assert names <= site.pages.keys()
    home = site.folder / "index.html"
    menu = home.read_text(encoding="utf-8").partition('class="sidebar-tree"')[2].partition("</aside>")[0]
    assert set(re.findall(r'href="([^"#]+\.html)', menu)) == names - {"index.html"}


def test_every_link_leads_to_a_page_and_an_anchor_of_the_site(site):
    n_links = 0
    for name, page in site.pages.items():
        for link in (*page.followed, *page.loaded):
            target, anchor = urldefrag(link)
            if re.match(r"[a-z]+:", link):
                continue
            path = (site.folder / name).parent / unquote(target.partition("?")[0]) if target else site.folder / name
            assert path.resolve().is_file(), f"{name}: {link}"
            linked = site.pages.get(str(path.resolve().relative_to(site.folder.resolve())))
            if anchor and linked is not None:
                assert unquote(anchor) in linked.anchors, f"{name}: {link}"
            n_links += 1
    assert n_links > 3000


def test_nothing_is_loaded_from_other_hosts(site):
    for name, page in site.pages.items():
        assert not [link for link in page.loaded if re.match(r"(?!data:)[a-z]+:|//", link)], name
    styles = list((site.folder / "_static").rglob("*.css"))
    assert styles
    for path in styles:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"url\(\s*['\"]?(?:[a-z]+:)?//|@import", text), path.name


def test_every_page_has_a_title_and_every_image_a_description(site):
    for name, page in site.pages.items():
        assert re.search(r"<title>[^<]+</title>", page.text), name
        if name not in ("genindex.html", "py-modindex.html", "search.html") and not name.startswith("_modules"):
            assert page.text.count("<h1>") == 1, name
        for image in page.images:
            assert image.get("alt"), f"{name}: {image['src']}"
            assert not image["alt"].endswith((".png", ".webp", ".jpg", ".gif")), f"{name}: {image['alt']}"


def test_tables_of_images_are_grids_whose_images_open(site):
    page = site.pages["drawing.html"]
    grids = page.text.count('class="image-grid')
    assert grids >= 12
    assert not re.search(r"<tr[^>]*><td><p>(?:<a[^>]*>)?<img", page.text)
    in_grids = [image["src"] for image in page.images if "width: 100%" in image.get("style", "")]
    assert len(in_grids) > 40
    assert set(in_grids) <= set(page.followed)


def test_options_keep_their_hyphens(site):
    for name, page in site.pages.items():
        assert not re.search("[\N{EN DASH}\N{EM DASH}](?:method|style|palette|speed)", page.text), name


def test_options_in_commands_are_marked_and_no_character_is_lost(project, site):
    assert '<span class="na">--style</span>' in site.pages["drawing.html"].text
    lexer = runpy.run_path(str(project / "docs/_extensions/command_lexer.py"))["CommandLexer"]()
    page = (project / "docs/drawing.md").read_text(encoding="utf-8")
    for code in (*blocks(page, "sh"), "a -k 2  --x='y z' to-rocket | b > c.png  # why\n"):
        assert "".join(text for _, text in lexer.get_tokens(code)) == code


@pytest.mark.parametrize("name", ["weights_", "covariances_, precisions_, precisions_cholesky_", "feature_names_in_"])
def test_attributes_of_estimators_keep_their_last_character(site, name):
    assert f"<strong>{name}</strong>" in site.pages["api/estimators.html"].text


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_pages_fit_the_window_and_show_their_images(site, width, scheme):
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    names = ("index", "tutorial", "drawing", "records", "cli", "api/estimators", "troubleshooting", "contributing")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"], timeout=WAIT_MS
        )
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        page, requests, failures = context.new_page(), [], []
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: failures.append(str(error)))
        for name in names:
            page.goto(f"file://{site.folder}/{name}.html", timeout=WAIT_MS)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, name
            assert page.evaluate("[...document.images].filter(i => !i.complete || !i.naturalWidth).length") == 0, name
        browser.close()
    assert not failures
    assert requests
    assert all(url.startswith(("file://", "data:")) for url in requests)
