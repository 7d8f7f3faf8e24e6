"""The pages in Chromium: what moves, switches, copies and turns; keyboards, screen readers, no requests, no scripts."""

import io
import shutil

import numpy as np
import pytest
from helpers import read_sample
from PIL import Image
from report_pages import HOSTILE, html_index, run_of, small_cat
from waiting import GUARD_SECONDS

from gmmquant.report.html.index import IndexEntry
from gmmquant.report.html.page import html_page

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe_runner = pytest.importorskip(
    "axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed"
)

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

KS = (2, 3, 7, 20)
WAIT_MS = 1000 * GUARD_SECONDS
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def browser():
    """One browser for all tests of this file."""
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"], timeout=WAIT_MS
        )
        sync_api.expect.set_options(timeout=WAIT_MS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The pages of the cat and of a transparent image, hostile ones, and an index."""
    folder = tmp_path_factory.mktemp("pages")
    cat = read_sample("cat.jpg")
    record, images = run_of(cat, KS, notes=["a note"])
    command = "gmmquant cat.jpg -k 2 3 7 20"
    (folder / "cat.html").write_bytes(html_page(record, cat, images, command))
    notes, path = HOSTILE, "in/" + HOSTILE[1]
    hostile = {**record, "notes": notes, "image": {**record["image"], "path": path}}
    (folder / "hostile.html").write_bytes(html_page(hostile, cat, images, HOSTILE[0]))
    small = small_cat()
    entries = [IndexEntry("torn.jpg", None, "the file ends early")]
    for index, name in enumerate(["b10.jpg", "a.jpg", "b9.jpg", HOSTILE[1]]):
        record, images = run_of(small[: 20 + 10 * index], (2, 5), name=name, n_bytes=3000 + 500 * index)
        entries.append(IndexEntry(name, record, "", "cat.html", small, [image.pixels for image in images]))
    (folder / "index.html").write_bytes(html_index(entries, title="photographs", command="gmmquant photographs"))
    return folder


@pytest.fixture
def visit(browser, files):
    """Open a page in a new context; afterwards, nothing was requested and the console is empty."""
    contexts, requests, messages = [], [], []

    def visit(name, **options):
        context = browser.new_context(**{"viewport": DESKTOP, **options})
        context.set_default_timeout(WAIT_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.on("dialog", lambda dialog: messages.append(dialog.message))
        page.goto((files / name).as_uri())
        return page

    yield visit
    for context in contexts:
        context.close()
    assert not messages
    assert all(url.startswith(("data:", files.as_uri())) for url in requests)
    assert len([url for url in requests if url.startswith("file:")]) == len(contexts)


def clip(page):
    return page.locator("figure.after:not(.off)").evaluate("each => getComputedStyle(each).clipPath")


def shown_fit(page):
    return page.locator("section.fit:not(.off) h2").inner_text()


def cloud(page):
    """Return the pixels of the cloud, after it was drawn."""
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return page.locator("#cloud").evaluate("canvas => canvas.toDataURL()")


def drag(page, locator, by):
    """Drag from the middle of an element."""
    locator.scroll_into_view_if_needed()
    box = locator.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + by[0], y + by[1], steps=4)
    page.mouse.up()


def test_the_border_follows_the_slider_its_keys_and_the_pointer(visit):
    page = visit("cat.html")
    seen = [clip(page)]
    page.locator("#split").fill("20")
    seen.append(clip(page))
    page.locator("#split").press("ArrowRight")
    seen.append(clip(page))
    drag(page, page.locator(".stage"), (200, 0))
    seen.append(clip(page))
    page.locator(".stage").press("ArrowLeft")
    seen.append(clip(page))
    assert len(set(seen)) == 5
    assert page.locator("#split").get_attribute("aria-valuetext").endswith("% original")


def test_on_each_side_of_the_border_is_its_image(visit):
    page = visit("cat.html")
    page.locator("#split").fill("25")
    page.locator(".stage").scroll_into_view_if_needed()
    box = page.locator(".stage").bounding_box()
    topmost = "([x, y]) => document.elementFromPoint(x, y).closest('figure').className.split(' ')[0]"
    middle = box["y"] + 0.7 * box["height"]
    assert page.evaluate(topmost, [box["x"] + 0.75 * box["width"], middle]) == "after"
    assert page.evaluate(topmost, [box["x"] + 0.15 * box["width"], middle]) == "before"


def test_keys_and_buttons_choose_the_fit(visit):
    page = visit("cat.html")
    assert shown_fit(page) == "20 colours"
    for key, k in (("1", 2), ("3", 7), ("4", 20), ("2", 3), ("9", 3)):
        page.keyboard.press(key)
        assert shown_fit(page) == f"{k} colours"
        assert page.locator("figure.after:not(.off) img").get_attribute("alt") == f"The image in {k} colours"
        assert page.locator("tr.now th").inner_text() == str(k)
    page.locator("input[name=fit]").first.check(force=True)
    assert shown_fit(page) == "2 colours"
    page.keyboard.press("ArrowRight")
    assert shown_fit(page) == "3 colours"


def test_zoom_is_to_whole_device_pixels_and_the_image_moves(visit):
    page = visit("cat.html", device_scale_factor=1.5)
    scale = "img => new DOMMatrix(getComputedStyle(img).transform).a * devicePixelRatio"
    place = "img => new DOMMatrix(getComputedStyle(img).transform).e * devicePixelRatio"
    image = page.locator("figure.before img")
    assert image.evaluate(scale) == pytest.approx(round(image.evaluate(scale)), abs=1e-4)
    page.locator("[data-zoom='1']").click()
    page.locator("[data-zoom='1']").click()
    assert page.locator(".level").inner_text() == f"{round(image.evaluate(scale))} : 1"
    assert round(image.evaluate(scale), 4) in (4, 8)
    assert image.evaluate("img => getComputedStyle(img).imageRendering") == "pixelated"
    before = image.evaluate(place)
    assert before == pytest.approx(round(before), abs=0.01)
    page.locator(".stage").press("ArrowRight")
    moved = image.evaluate(place)
    assert moved < before
    drag(page, page.locator(".stage"), (0, 60))
    page.locator("#split").fill("10")
    drag(page, page.locator(".stage"), (90, 30))
    assert image.evaluate(place) > moved
    page.locator("[data-zoom='0']").click()
    assert page.locator("[data-zoom='-1']").is_disabled()


def test_a_click_and_enter_copy_a_color(visit):
    page = visit("cat.html", permissions=["clipboard-read", "clipboard-write"])
    buttons = page.locator("section.fit:not(.off) .swatches button")
    said = page.locator("[role=status]")
    buttons.nth(2).click()
    color = buttons.nth(2).locator("code").inner_text()
    sync_api.expect(said).to_have_text(f"Copied {color}")
    assert page.evaluate("navigator.clipboard.readText()") == color
    buttons.nth(4).press("Enter")
    sync_api.expect(said).to_have_text(f"Copied {buttons.nth(4).locator('code').inner_text()}")
    page.locator("section.fit:not(.off) [data-said]").click()
    sync_api.expect(said).to_have_text("Copied all colours")
    assert page.evaluate("navigator.clipboard.readText()").count("#") == 20
    page.locator(".command button").click()
    sync_api.expect(said).to_have_text("Copied the command")
    assert page.evaluate("navigator.clipboard.readText()") == "gmmquant cat.jpg -k 2 3 7 20"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("name", "kind"), [("cat.html", ".swatches svg"), ("cat.html", "section .strip"), ("index.html", ".shared svg")]
)
def test_a_swatch_in_the_colour_of_the_page_has_an_edge(visit, name, kind, scheme):
    page = visit(name, color_scheme=scheme)
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    if kind == ".shared svg":  # of a shared mixture
        swatch = '<ol class="shared"><li><svg viewBox="0 0 4 3"><rect width="4" height="3"></rect></svg></li></ol>'
        page.evaluate("html => document.querySelector('main').insertAdjacentHTML('afterbegin', html)", swatch)
    shown = page.locator(kind).locator("visible=true").first
    shown.evaluate(
        "(svg, fill) => svg.querySelectorAll('rect').forEach(rect => rect.setAttribute('fill', fill))", paper
    )
    pixels = np.asarray(Image.open(io.BytesIO(shown.screenshot())).convert("L")).astype(int)
    middle = pixels[len(pixels) // 2]
    assert abs(middle[[0, -1]] - middle[middle.size // 2]).min() > 30


def test_the_cloud_turns_by_pointer_and_keys_and_shows_components(visit):
    page = visit("cat.html")
    canvas = page.locator("#cloud")
    seen = [cloud(page)]
    drag(page, canvas, (80, 20))
    page.mouse.move(1, 1)
    seen.append(cloud(page))
    for key in ("ArrowLeft", "ArrowUp", "+"):
        canvas.press(key)
        seen.append(cloud(page))
    page.locator("#show-points").uncheck()
    seen.append(cloud(page))
    page.locator("#show-points").check()
    page.locator("#show-components").uncheck()
    seen.append(cloud(page))
    page.locator("#show-components").check()
    page.locator("section.fit:not(.off) .swatches button").first.focus()
    seen.append(cloud(page))
    page.keyboard.press("1")
    seen.append(cloud(page))
    assert len(set(seen)) == len(seen)
    canvas.press("0")
    page.keyboard.press("4")
    assert cloud(page) == seen[0]


def test_a_component_is_marked_under_the_pointer(visit):
    page = visit("cat.html")
    page.keyboard.press("1")
    page.locator("#cloud").scroll_into_view_if_needed()
    page.locator("#show-points").uncheck()
    box, seen = page.locator("#cloud").bounding_box(), set()
    for share in range(30, 90, 2):  # up the grey axis, near which both means lie
        for offset in (0, 12, 24, 36):
            page.mouse.move(box["x"] + box["width"] / 2 + offset, box["y"] + box["height"] * share / 100)
        seen.add(cloud(page))
    assert len(seen) > 1


def test_without_scripts_everything_is_visible(visit):
    page = visit("cat.html", java_script_enabled=False)
    assert page.locator(".stage img:visible").count() == 1 + len(KS)
    assert page.locator("section.fit:visible").count() == len(KS)
    assert page.locator(".swatches li:visible").count() == sum(KS)
    assert page.locator(".plot:visible").count() == len(KS) + 3
    assert page.locator(".needs-js:visible").count() == 0
    assert page.locator("table tbody tr:visible").count() == len(KS)
    page = visit("index.html", java_script_enabled=False)
    assert page.locator(".entry:visible").count() == 4
    assert page.locator(".needs-js:visible").count() == 0


def test_print_shows_all_fits_in_light(visit):
    page = visit("cat.html", color_scheme="dark")
    page.emulate_media(media="print")
    assert page.locator(".stage img:visible").count() == 1 + len(KS)
    assert page.locator("section.fit:visible").count() == len(KS)
    assert page.locator(".handle:visible").count() == 0
    assert page.locator("body").evaluate("body => getComputedStyle(body).backgroundColor") == "rgb(255, 255, 255)"


@pytest.mark.parametrize("name", ["cat.html", "index.html"])
@pytest.mark.parametrize(
    ("scheme", "size"),
    [
        ("light", DESKTOP),
        ("dark", PHONE),
        pytest.param("dark", DESKTOP, marks=pytest.mark.slow),
        pytest.param("light", PHONE, marks=pytest.mark.slow),
    ],
    ids=["light-desktop", "dark-phone", "dark-desktop", "light-phone"],
)
def test_axe_finds_nothing_serious(visit, name, scheme, size):
    page = visit(name, color_scheme=scheme, viewport=size)
    found = axe_runner.Axe().run(page).response["violations"]
    serious = {
        each["id"]: [node["html"][:120] for node in each["nodes"][:3]]
        for each in found
        if each["impact"] in ("serious", "critical")
    }
    assert not serious
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]


def test_hostile_text_runs_nothing(visit):
    page = visit("hostile.html")
    assert page.locator(".notes li").all_inner_texts()[0] == HOSTILE[0]
    assert page.locator("h1").inner_text() == HOSTILE[1]


def test_the_index_sorts_and_filters(visit):
    page = visit("index.html")
    names = page.locator(".entry:visible h3 bdi")
    assert names.all_text_contents() == ["b10.jpg", "a.jpg", "b9.jpg", HOSTILE[1]]
    page.locator("#sort").select_option("name")
    assert names.all_text_contents()[1:] == ["a.jpg", "b9.jpg", "b10.jpg"]
    page.locator("#sort").select_option("pixels")
    assert names.all_text_contents() == [HOSTILE[1], "b9.jpg", "a.jpg", "b10.jpg"]
    page.locator("#turn").click()
    assert names.all_text_contents() == ["b10.jpg", "a.jpg", "b9.jpg", HOSTILE[1]]
    for figure, cell in (("psnr", ".p"), ("likelihood", ".l")):
        page.locator("#sort").select_option(figure)
        for k in ("2", "5"):
            page.locator("#asked").select_option(k)
            cells = page.locator(f".entry [data-asked='{k}'] {cell}")
            shown = cells.evaluate_all("cells => cells.map(cell => Number(cell.value))")
            assert shown == sorted(shown)
            assert len(set(shown)) == 4
    page.locator("#find").fill("B1")
    sync_api.expect(page.locator("#count")).to_have_text("1 of 4 images")
    assert names.all_text_contents() == ["b10.jpg"]
