"""The page in a real browser: it opens offline, runs nothing, asks the network nothing, and reads well on a phone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from exapt.reporting import write_report

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="no Chromium with chromedriver here (Debian: chromium, chromium-driver)"
)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)
HOSTILE = '<script>window.hacked = 1</script><img src=x onerror="window.hacked=2">'


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(DRIVER)))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def page(make_report: Callable[..., dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict]:
    data = make_report(names={"frozen": HOSTILE})
    data |= {"title": f"promoters {HOSTILE}", "warnings": [HOSTILE], "data": {"labelled": HOSTILE}}
    folder = tmp_path_factory.mktemp("run")
    write_report(folder, data)
    return (folder / "report.html").as_uri(), data


def _open(browser: Any, url: str, width: int) -> None:
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(url)


def test_it_opens_offline_without_errors_or_requests(browser: Any, page: tuple[str, dict]) -> None:
    url, _ = page
    for log in ("browser", "performance"):
        browser.get_log(log)
    _open(browser, url, 1000)
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    own = ("data:", "chrome:")  # the browser's own start page may still be loading
    assert [u for u in asked if not u.startswith(own)] == [url]


def test_the_verdict_is_what_one_sees_first(browser: Any, page: tuple[str, dict]) -> None:
    url, data = page
    for width in (1000, 400):
        _open(browser, url, width)
        title = browser.find_element("css selector", "h1")
        shown = browser.find_element("css selector", "header").text.replace("\u00a0", " ")
        assert title.is_displayed() and title.rect["y"] < 200
        assert data["verdict"]["sentence"] in " ".join(shown.split())


def test_planted_script_is_inert(browser: Any, page: tuple[str, dict]) -> None:
    url, _ = page
    _open(browser, url, 1000)
    assert browser.execute_script("return window.hacked") is None
    assert browser.execute_script("return document.querySelectorAll('script, img').length") == 0
    assert "<script>window.hacked = 1</script>" in browser.find_element("tag name", "main").text


@pytest.mark.parametrize(("width", "shown", "hidden"), [(1000, "wide", "narrow"), (400, "narrow", "wide")])
def test_figures_have_size(browser: Any, page: tuple[str, dict], width: int, shown: str, hidden: str) -> None:
    _open(browser, page[0], width)
    boxes = [figure.rect for figure in browser.find_elements("css selector", f"svg.{shown}")]
    assert len(boxes) == 4
    assert all(box["width"] > 0.85 * min(width - 40, 860) and box["height"] > 200 for box in boxes)
    assert not any(figure.is_displayed() for figure in browser.find_elements("css selector", f"svg.{hidden}"))


@pytest.mark.parametrize("width", [360, 400, 700, 1000])
def test_nothing_scrolls_sideways_and_all_is_legible(browser: Any, page: tuple[str, dict], width: int) -> None:
    _open(browser, page[0], width)
    browser.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    smallest = browser.execute_script(
        """return Math.min(...[...document.querySelectorAll('svg text')]
            .filter(t => t.getClientRects().length)
            .map(t => parseFloat(getComputedStyle(t).fontSize) * t.getScreenCTM().a))"""
    )
    assert smallest >= 9.5
    body = browser.execute_script(
        """return Math.min(...[...document.querySelectorAll('p, li, td, th, dt, dd, small')]
            .filter(e => e.getClientRects().length).map(e => parseFloat(getComputedStyle(e).fontSize)))"""
    )
    assert body >= 12


def test_dark_and_light_have_contrast(browser: Any, page: tuple[str, dict]) -> None:
    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        _open(browser, page[0], 1000)
        ratios = browser.execute_script(CONTRAST)
        assert min(ratios.values()) >= 3, ratios
        assert ratios["body"] >= 7
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


CONTRAST = """
const light = c => { const v = c.match(/[\\d.]+/g).slice(0, 3).map(x => x / 255)
    .map(x => x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
    return 0.2126 * v[0] + 0.7152 * v[1] + 0.0722 * v[2]; };
const paper = light(getComputedStyle(document.body).backgroundColor);
const ratio = c => { const a = light(c); return (Math.max(a, paper) + 0.05) / (Math.min(a, paper) + 0.05); };
const found = {body: ratio(getComputedStyle(document.body).color)};
document.querySelectorAll('svg.wide .name').forEach(t => found[t.textContent] = ratio(getComputedStyle(t).fill));
document.querySelectorAll('.verdict, caption, dt').forEach(
    t => found[t.className + t.tagName] = ratio(getComputedStyle(t).color));
return found;
"""


def test_pointing_at_a_point_shows_its_numbers(browser: Any, page: tuple[str, dict]) -> None:
    actions = pytest.importorskip("selenium.webdriver.common.action_chains")
    _open(browser, page[0], 1000)
    point = browser.find_element("css selector", "svg.wide .point")
    card = point.find_element("css selector", ".tip")
    assert card.value_of_css_property("opacity") == "0"
    browser.execute_script("arguments[0].style.transition = 'none'", card)
    actions.ActionChains(browser).move_to_element(point.find_element("css selector", ".hit")).perform()
    assert card.value_of_css_property("opacity") == "1"


def test_links_lead_to_the_fits_beside_it(browser: Any, page: tuple[str, dict]) -> None:
    url, data = page
    _open(browser, url, 1000)
    links = browser.execute_script("return [...document.querySelectorAll('td a')].map(a => a.href)")
    assert links == [
        f"{Path(url).parent.as_posix().replace('file:/', 'file:///')}/{fit['file']}" for fit in data["fits"]
    ]
