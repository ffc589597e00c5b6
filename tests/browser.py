"""A real browser, for tests of pages: headless Chromium."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Ended with its module: tests of child processes want to have none."""
    webdriver = pytest.importorskip("selenium.webdriver")
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("Chromium and its driver are not installed")
    if "libasan" in os.environ.get("LD_PRELOAD", ""):
        pytest.skip("Chromium does not run under AddressSanitizer")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1200,1600"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options, webdriver.ChromeService(driver))
    browser.implicitly_wait(20)
    yield browser
    browser.quit()


@pytest.fixture
def browser(chromium: Any) -> Iterator[Any]:
    """Chromium, with nothing left of the test before."""
    first = chromium.current_window_handle
    yield chromium
    for opened in set(chromium.window_handles) - {first}:
        chromium.switch_to.window(opened)
        chromium.close()
    chromium.switch_to.window(first)
    chromium.get("about:blank")
    chromium.get_log("browser")


def complaints(browser: Any) -> list[str]:
    """What the browser's console has to say, the policy's refusals among it."""
    return [line["message"] for line in browser.get_log("browser") if "favicon" not in str(line)]


def click(browser: Any, selector: str) -> None:
    element = browser.find_element("css selector", selector)
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    browser.execute_script("arguments[0].click()", element)


def become(browser: Any, condition: Callable[[Any], Any]) -> Any:
    """What the condition gives, called with the browser, once it is true."""
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, 30).until(condition)


def wait_until(browser: Any, script: str) -> Any:
    """What the expression is once it is true."""
    return become(browser, lambda b: b.execute_script(f"return {script}"))
