"""How quick the page is, in headless Chromium: `python -m tests.measure_page [--pieces 20]`.

Prints medians and the slowest of: first page visible on a warm server, down to the button, and its map drawn; click on
Compose to sound; another instrument to sound; a click that changes nothing heavy (the language) to the changed page;
and the page's script alone, by Streamlit's own test driver. What else the machine does counts too.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tests.test_browser import FLAGS, ROOT, wait_until_healthy

if TYPE_CHECKING:
    from playwright.sync_api import Page

SOUNDS = "(a => a && !a.paused && a.currentTime > 0)(document.querySelector('audio'))"
LIMIT = 120_000  # ms for one step
UNCHANGED = 15_000  # ms after which an instrument is taken for the one that plays already


@contextmanager
def server() -> Iterator[str]:
    """The page on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = [f"--server.port={port}", "--server.address=127.0.0.1", "--server.fileWatcherType=none"]
    with tempfile.TemporaryDirectory() as folder, (log := Path(folder, "log")).open("w") as out:
        command = [sys.executable, "-m", "streamlit", "run", "streamlit_app.py", *options]
        process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT)
        try:
            wait_until_healthy(f"http://127.0.0.1:{port}", process, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(20)


def seconds(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def report(what: str, times: list[float]) -> None:
    print(
        f"{what:44} median {statistics.median(times):6.2f} s, slowest {max(times):6.2f} s, of {len(times)}", flush=True
    )


def visit(page: Page, address: str) -> tuple[float, float]:
    """Seconds until the page is there, and until its map is too."""
    start = time.perf_counter()
    page.goto(address, wait_until="commit")
    page.get_by_role("button", name="Compose", exact=True).wait_for()
    there = time.perf_counter()
    page.get_by_test_id("stVegaLiteChart").locator("canvas, svg").first.wait_for()
    return there - start, time.perf_counter() - start


def compose(page: Page) -> None:
    """From the click until a new piece sounds."""
    page.evaluate("document.querySelectorAll('audio').forEach(each => each.pause())")
    page.get_by_role("button", name="Compose", exact=True).click()
    page.wait_for_function("() => !document.querySelector('.st-key-stop')?.checkVisibility() && " + SOUNDS, polling=20)


def play_on(page: Page, number: int) -> float | None:
    """Seconds from the choice of another instrument, by its place in the list, until the player plays it; None for the
    mood's own, by which nothing changes."""
    from playwright.sync_api import TimeoutError as Unchanged

    before = page.evaluate("document.querySelector('audio').currentSrc")
    page.evaluate("(a => { a.currentTime = 1; a.play() })(document.querySelector('audio'))")
    page.get_by_role("combobox", name="Melody instrument").click()
    option = page.get_by_role("option").nth(number)
    option.wait_for()
    start = time.perf_counter()
    option.click()
    sounds = "old => document.querySelector('audio').currentSrc !== old && " + SOUNDS
    try:
        page.wait_for_function(sounds, arg=before, polling=20, timeout=UNCHANGED)
    except Unchanged:
        return None
    return time.perf_counter() - start


def switch_language(page: Page, language: str, heading: str) -> None:
    page.get_by_role("radio", name=language).click()
    page.get_by_role("heading", name=heading).wait_for()


def script_times(count: int) -> list[float]:
    """Runs of the page's script with one take on show, when nothing changed."""
    from streamlit.testing.v1 import AppTest

    page = AppTest.from_file(str(ROOT / "streamlit_app.py"), default_timeout=120)
    for key, value in {"mood": "peaceful", "seed": "1", "rounds": "1"}.items():
        page.query_params[key] = value
    page.run()
    while page.session_state["job"] is not None:
        time.sleep(0.5)
        page.run()
    return [seconds(page.run) for _ in range(count)]


def main() -> None:
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description="Measure how quick the page is.")
    parser.add_argument("--pieces", type=int, default=20, help="composed in the browser (default 20)")
    count = parser.parse_args().pieces
    with server() as address, sync_playwright() as playwright:
        flags = [*FLAGS.split(), "--autoplay-policy=no-user-gesture-required"]
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=flags)
        warm = browser.new_page(locale="en-GB")
        warm.set_default_timeout(LIMIT)
        visit(warm, address)
        compose(warm)
        warm.close()
        visits = []
        for _ in range(5):
            page = browser.new_context(locale="en-GB").new_page()
            page.set_default_timeout(LIMIT)
            visits.append(visit(page, address))
        report("first page visible, warm server", [there for there, _ in visits])
        report("its map drawn", [drawn for _, drawn in visits])
        report("click on Compose to sound", [seconds(partial(compose, page)) for _ in range(count)])
        page.get_by_role("button", name="Sound", exact=True).click()
        page.wait_for_timeout(500)
        played = [play_on(page, number) for number in (1, 2, 3)]
        report("another instrument to sound", [each for each in played if each is not None])
        page.keyboard.press("Escape")
        languages = [("한국어", "나의 음악"), ("English", "Your music")] * 5
        report(
            "click that changes the language", [seconds(partial(switch_language, page, *each)) for each in languages]
        )
        browser.close()
    report("the page's script alone", script_times(20))


if __name__ == "__main__":
    main()
