"""Stories in a real browser: Debian's Chromium, without a window, against gunicorn on loopback.

Whatever a page wants from another host is refused and fails the story, as does what the security
policy blocks and what a script throws.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from tests.controller.factories import PASSWORD
from tests.controller_slow.browser_testbed import NASTY, PLACES
from tests.controller_slow.live import ADMIN, Live, live, manage

FAILURES_OF_NAME = 10  # vct.controller.rest.throttles, which needs Django's settings
MAKE = "from tests.controller_slow.browser_testbed import make; make()"
ROOT = Path(__file__).resolve().parents[2]
expect.set_options(timeout=60_000)  # ms: until what is expected is there, on a busy machine too


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    home = tmp_path_factory.mktemp("controller")
    with live(home, workers=1) as found:
        manage({**found.environment, "PYTHONPATH": str(ROOT)}, "shell", "-v0", "-c", MAKE)
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium")
    assert program, "Chromium is not installed: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, controller: Live) -> Iterator[Page]:
    """A browser that knows nobody. What it complained of is a failure at the end."""
    complaints: list[str] = []
    context = browser.new_context(base_url=controller.uri, viewport={"width": 1280, "height": 900})
    page = context.new_page()

    def elsewhere(route: Route) -> None:
        if route.request.url.startswith(controller.uri):
            route.continue_()
        else:
            complaints.append(f"asked for {route.request.url}")
            route.abort()

    page.route("**/*", elsewhere)
    page.on("pageerror", lambda error: complaints.append(f"threw {error}"))
    page.on("dialog", lambda dialog: complaints.append(f"opened {dialog.message}"))
    page.on(
        "console",
        lambda message: complaints.append(message.text) if message.type == "error" else None,
    )
    yield page
    context.close()
    assert complaints == []


def log_in(page: Page, name: str = ADMIN, password: str = PASSWORD) -> None:
    page.goto("/")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def network_of(page: Page) -> Any:
    """What the map has drawn, once it has: the cells of its table, a list for each node."""
    expect(page.locator("#map-news")).to_contain_text("4 nodes, 4 links")
    rows = page.locator("#network-rows tr").all()
    return [row.locator("td").all_text_contents() for row in rows]


def test_it_works(page: Page) -> None:
    log_in(page)
    expect(page.locator("#nodes tbody tr")).to_have_count(4)
    expect(page.locator("#dashboard")).to_contain_text("2 production")
    expect(page.locator("#slices")).to_contain_text("mesh routing")
    expect(page.locator(".state-production").first).to_have_css(
        "background-color", "rgb(27, 122, 58)"
    )


def test_a_log_in_fails_and_is_limited(page: Page, controller: Live) -> None:
    log_in(page, "mallory", "wrong")
    expect(page.locator(".errornote")).to_contain_text("correct username and password")
    wrong = {"username": "mallory", "password": "wrong"}
    for _ in range(FAILURES_OF_NAME - 1):  # not in the browser: all have to be within a minute
        assert controller.ask("POST", "/api-token-auth/", wrong).status == 400
    log_in(page, "mallory", "wrong")
    expect(page.locator(".errornote")).to_contain_text("Too many attempts failed")
    log_in(page)
    expect(page.locator("#dashboard")).to_be_visible()


def test_the_map_shows_nodes_and_links_and_asks_no_other_host(page: Page, tmp_path: Path) -> None:
    log_in(page)
    page.get_by_role("link", name="Map").click()
    rows = network_of(page)
    assert rows[0] == ["0001", "roof of the school", "production", f"water tower, {NASTY}"]
    expect(page.locator("#network canvas")).to_have_count(3)
    page.get_by_role("button", name="Graph").click()
    page.screenshot(path=tmp_path / "graph.png")
    page.get_by_role("button", name="Positions").click()
    page.screenshot(path=tmp_path / "map.png")


def test_a_node_on_the_map_says_what_it_is(page: Page) -> None:
    log_in(page)
    page.goto("/map/")
    network_of(page)
    box = page.locator("#network").bounding_box()
    assert box is not None
    # the westernmost of the four: positions begin at the left edge
    page.mouse.click(*leftmost(page, box))
    expect(page.locator("#details")).to_contain_text("roof of the school")
    page.get_by_role("link", name="Node page").click()
    expect(page.locator("#id_name")).to_have_value("roof of the school")


def test_slivers_are_made_on_selected_nodes(page: Page) -> None:
    log_in(page, "rita")
    page.goto("/admin/nodes/node/")
    for row in page.locator("#result_list tbody tr").all()[1:3]:
        row.locator(".action-select").check()
    page.get_by_label("Action:").select_option("create_slivers")
    page.locator("button[name=index]").click()
    page.get_by_label("Slice").select_option("mesh routing")
    page.get_by_role("button", name="Create slivers").click()
    expect(page.locator(".messagelist")).to_contain_text("Create sliver: 2 done")
    page.goto("/admin/slices/sliver/")
    expect(page.locator("#result_list tbody tr")).to_have_count(3)


def test_names_are_text_everywhere(page: Page) -> None:
    log_in(page)
    expect(page.locator("#nodes")).to_contain_text(NASTY)
    paths = ["/map/", "/admin/nodes/node/", "/admin/nodes/node/4/change/",
             "/admin/slices/slice/", "/admin/slices/slice/2/change/",
             "/admin/slices/slice/2/delete/"]  # fmt: skip
    for path in paths:
        page.goto(path)
        page.wait_for_load_state("networkidle")
        assert page.locator("img[src=x]").count() == 0, path
    page.goto("/map/")
    assert [row[1] for row in network_of(page)] == list(PLACES)


def test_the_api_is_read_in_the_browser(page: Page) -> None:
    log_in(page)
    for path in ("/api/", "/api/nodes/", "/api/nodes/1/"):
        page.goto(path)
        expect(page.locator(".response-info")).to_contain_text("HTTP 200 OK")


def test_a_conflict_is_told_in_the_page(page: Page, browser: Browser, controller: Live) -> None:
    log_in(page)
    page.goto("/admin/nodes/node/2/change/")
    other = browser.new_context(base_url=controller.uri).new_page()
    log_in(other)
    other.goto("/admin/nodes/node/2/change/")
    other.locator("#id_description").fill("first")
    other.get_by_role("button", name="Save", exact=True).click()
    expect(other.locator(".messagelist")).to_contain_text("changed successfully")
    other.context.close()
    page.locator("#id_description").fill("second")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".errornote + .errorlist, .errorlist.nonfield")).to_contain_text(
        "Somebody else changed this"
    )


def leftmost(page: Page, box: Any) -> tuple[float, float]:
    """Where the drawing's leftmost node is, looked for in the picture itself once it is drawn."""
    spot = page.evaluate(
        """async () => {
          const canvases = [...document.querySelectorAll('#network canvas')];
          const canvas = canvases[canvases.length - 1];
          const { width, height } = canvas;
          for (let tries = 0; tries < 600; tries++) {
            const image = canvas.getContext('2d').getImageData(0, 0, width, height).data;
            for (let x = 0; x < width; x++) for (let y = 0; y < height; y++) {
              const at = 4 * (y * width + x);
              if (image[at] === 27 && image[at + 1] === 122 && image[at + 2] === 58) {
                const scale = canvas.clientWidth / width;
                return [x * scale, y * scale];
              }
            }
            await new Promise((again) => setTimeout(again, 100));
          }
          return null;
        }"""
    )
    assert spot, "no node in the colour of production is drawn"
    return box["x"] + spot[0] + 6, box["y"] + spot[1]
