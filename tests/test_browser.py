"""The page in a real browser: headless Chromium, with a fake webcam that shows a real photograph of a face.

Needs Debian's chromium and ffmpeg (`make test` installs them where it may). Where they are missing these tests are
skipped; in CI they fail instead.
"""

from __future__ import annotations

import io
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Download, Page

ROOT = Path(__file__).parent.parent
MISSING = [name for name in ("chromium", "ffmpeg") if shutil.which(name) is None]
SECONDS = 240.0  # For one piece on a busy machine; a limit, not a promise.
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --use-fake-ui-for-media-stream --use-fake-device-for-media-stream"
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        bool(MISSING) and "CI" not in os.environ,
        reason=f"needs {' and '.join(MISSING)}: apt-get install chromium ffmpeg",
    ),
]


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photograph of a smiling astronaut (NASA, public domain), as scikit-image ships it."""
    from PIL import Image
    from skimage.data import astronaut

    path = tmp_path_factory.mktemp("photo") / "astronaut.jpg"
    Image.fromarray(astronaut()).save(path, quality=92)  # type: ignore[no-untyped-call]
    return path


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running page on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log"
    command = [sys.executable, "-m", "streamlit", "run", "streamlit_app.py"]
    options = [f"--server.port={port}", "--server.address=127.0.0.1", "--server.fileWatcherType=none"]
    with log.open("w") as out:
        server = subprocess.Popen([*command, *options], cwd=ROOT, stdout=out, stderr=subprocess.STDOUT)
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until_healthy(url, server, log)
            yield url
        finally:
            server.terminate()
            server.wait(20)
    said = log.read_text()
    # Not every traceback: Streamlit logs one where a browser leaves while it closes the connection itself.
    for fault in ("Uncaught app execution", "composing failed", "networks failed", "reading failed"):
        assert fault not in said, said


def wait_until_healthy(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        assert server.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=2) as answer:  # noqa: S310 - our own server
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"the page did not start: {log.read_text()}")


@pytest.fixture(scope="module")
def browser(photo: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium whose webcam shows the photograph on a 640 x 480 picture."""
    from playwright.sync_api import sync_playwright

    assert not MISSING, f"CI needs {MISSING}"
    video = tmp_path_factory.mktemp("webcam") / "face.y4m"
    fit = "scale=480:480,pad=640:480:80:0"
    still = ["-loop", "1", "-i", str(photo), "-t", "1", "-r", "10", "-vf", fit, "-pix_fmt", "yuv420p"]
    subprocess.run(["ffmpeg", "-loglevel", "error", *still, str(video)], check=True)
    flags = [*FLAGS.split(), f"--use-file-for-fake-video-capture={video}"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        yield chromium
        chromium.close()


OpenPage = Callable[..., "Page"]


@pytest.fixture
def open_page(browser: Browser, address: str) -> Iterator[OpenPage]:
    """Opens pages, each as a new visitor; afterwards checks that none of them asked any other host for anything."""
    contexts = []
    asked: list[str] = []

    def new(
        path: str = "", *, width: int = 1280, locale: str = "en-GB", camera: bool = True, dark: bool = False
    ) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            locale=locale,
            permissions=["camera"],
            color_scheme="dark" if dark else "light",
            accept_downloads=True,
        )
        contexts.append(context)
        context.on("request", lambda request: asked.append(request.url))
        page = context.new_page()
        page.set_default_timeout(SECONDS * 1000)
        page.goto(address + path)
        page.get_by_role("heading", level=2).first.wait_for()
        return page

    yield new
    for context in contexts:
        context.close()
    strange = [url for url in asked if not url.startswith((address, "data:", "blob:"))]
    assert asked
    assert not strange


def choose(page: Page, name: str) -> None:
    page.get_by_role("radio", name=name).or_(page.get_by_role("button", name=name)).first.click()


def compose(page: Page, name: str = "Compose") -> None:
    page.get_by_role("button", name=name, exact=True).click()
    page.locator("audio").wait_for()


def hear(page: Page) -> tuple[float, float]:
    """Duration of the sound and how far it played, both in seconds, once it has played a little."""
    page.wait_for_function("(a => a && a.duration > 0 && a.currentTime > 0.5)(document.querySelector('audio'))")
    duration, position = page.evaluate("(a => [a.duration, a.currentTime])(document.querySelector('audio'))")
    return duration, position


def saved(download: Download) -> bytes:
    return Path(download.path()).read_bytes()


def keep_picture(page: Page, name: str) -> None:
    """Save the whole page as a picture for the documentation, where `make docs` asks for it."""
    folder = os.environ.get("SCREENSHOTS")
    size = page.viewport_size
    if folder is None or size is None:
        return
    height = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
    page.set_viewport_size({"width": size["width"], "height": height})
    page.wait_for_timeout(1500)
    page.screenshot(path=Path(folder) / name, full_page=True)


def test_from_webcam_to_playing_music(open_page: OpenPage) -> None:
    page = open_page()
    choose(page, "Camera")
    page.get_by_text("It is never saved").wait_for()
    assert page.locator("video").count() == 0  # No camera before it is asked for.
    page.get_by_text("Turn the camera on").click()
    page.wait_for_function("(v => v && v.videoWidth > 0)(document.querySelector('video'))")
    page.get_by_test_id("stCameraInputButton").click()
    page.get_by_text("Moods that fit").wait_for()
    assert page.locator("video").count() == 0  # And off again once it has its picture.
    assert page.get_by_test_id("stImage").locator("img").evaluate("image => image.naturalWidth") >= 640
    compose(page)
    duration, position = hear(page)
    assert duration > 20
    line = page.locator("svg line.now").last
    before = float(line.get_attribute("x1").rstrip("%"))  # type: ignore[union-attr]
    page.wait_for_timeout(1000)
    after = float(line.get_attribute("x1").rstrip("%"))  # type: ignore[union-attr]
    assert 0 < position < duration
    assert after > before > 0  # The line on the piano roll follows.
    keep_picture(page, "page.png")


def test_upload_of_a_wrong_file_then_of_a_photo(open_page: OpenPage, photo: Path, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    page = open_page()
    choose(page, "Photo")
    wrong = tmp_path / "notes.jpg"
    wrong.write_text("this is no picture")
    page.locator("input[type=file]").set_input_files(wrong)
    page.get_by_text("could not be opened as a picture").wait_for()
    expect(page.get_by_role("button", name="Compose", exact=True)).to_be_disabled()
    page.locator("input[type=file]").set_input_files(photo)
    page.get_by_text("Moods that fit").wait_for()
    expect(page.get_by_role("button", name="Compose", exact=True)).to_be_enabled()


def test_pick_compose_and_download(open_page: OpenPage) -> None:
    import pretty_midi

    page = open_page()
    choose(page, "Mysterious")
    page.get_by_text("Composing for: Mysterious").wait_for()
    compose(page)
    heading = page.get_by_role("heading", level=3).inner_text()
    with page.expect_download() as midi:
        page.get_by_role("button", name="Download MIDI").click()
    with page.expect_download() as wav:
        page.get_by_role("button", name="Download WAV").click()
    assert midi.value.suggested_filename.startswith("maeum-mysterious-")
    assert midi.value.suggested_filename.endswith(".mid")
    score = pretty_midi.PrettyMIDI(io.BytesIO(saved(midi.value)))
    assert len([beat for beat in score.get_downbeats() if beat < score.get_end_time() - 0.01]) == 16
    with wave.open(io.BytesIO(saved(wav.value))) as sound:
        assert sound.getnchannels() == 2
        assert sound.getnframes() / sound.getframerate() > 20
    assert page.get_by_role("heading", level=3).inner_text() == heading
    assert page.locator("audio").count() == 1


def test_a_link_gives_identical_midi(open_page: OpenPage) -> None:
    files = []
    for _ in range(2):
        page = open_page("/?mood=peaceful:60,clear:40&seed=12")
        page.locator("audio").wait_for()
        with page.expect_download() as midi:
            page.get_by_role("button", name="Download MIDI").click()
        files.append(saved(midi.value))
    assert files[0] == files[1]
    assert files[0].startswith(b"MThd")


def test_a_tap_between_two_moods_mixes_them(open_page: OpenPage) -> None:
    page = open_page()
    chart = page.get_by_test_id("stVegaLiteChart").first
    chart.locator("canvas, svg").first.wait_for()
    box = chart.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.72)
    page.wait_for_function("document.body.innerText.match(/Composing for: .+ \\d+% · .+ \\d+%/)")


def test_korean_phone_has_no_sideways_scroll(open_page: OpenPage) -> None:
    page = open_page(width=390, locale="ko-KR", dark=True)
    page.get_by_role("heading", name="지금 마음은 어떤가요?").wait_for()
    compose(page, "작곡하기")
    for element in ("document.documentElement", "document.querySelector('[data-testid=stMain]')"):
        assert page.evaluate(f"{element}.scrollWidth - {element}.clientWidth") == 0
    keep_picture(page, "phone.png")


def test_keyboard_alone_is_enough(open_page: OpenPage) -> None:
    page = open_page()
    button = page.get_by_role("button", name="Compose", exact=True)
    button.wait_for()
    for _ in range(40):
        page.keyboard.press("Tab")
        if button.evaluate("element => element === document.activeElement"):
            break
    else:
        pytest.fail("the Compose button cannot be reached with Tab")
    page.keyboard.press("Enter")
    page.locator("audio").wait_for()
    assert hear(page)[0] > 20


def test_a_denied_camera_leaves_the_other_ways_open(open_page: OpenPage) -> None:
    page = open_page()
    page.evaluate(
        "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', 'NotAllowedError') };0"
    )
    choose(page, "Camera")
    page.get_by_text("Turn the camera on").click()
    page.get_by_text("No camera picture?").wait_for()
    choose(page, "Pick a mood")
    page.get_by_text("Composing for: Peaceful").wait_for()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_at_levels_a_and_aa(open_page: OpenPage, dark: bool) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = open_page("/?mood=bright&seed=1", dark=dark)
    page.locator("audio").wait_for()
    page.wait_for_timeout(1500)  # Until nothing fades any more, or half-faded texts count as pale.
    options = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}}
    result = Axe().run(page, options=options)
    assert not result.response["violations"], result.generate_report()
