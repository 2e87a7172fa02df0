"""The page in a real browser: headless Chromium, with a fake webcam that shows a real photograph of a face.

Needs Debian's chromium and ffmpeg (`make test` installs them where it may). Where they are missing these tests are
skipped; in CI they fail instead.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import wave
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from generator import melody
from tests.tunes import random_tune

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Download, Locator, Page

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
        path: str = "", *, width: int = 1280, locale: str = "en-GB", dark: bool = False, calm: bool = False
    ) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            locale=locale,
            permissions=["camera"],
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce" if calm else "no-preference",
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


def unfold(page: Page, name: str) -> None:
    """Open a part that is folded away, whether it opens in place or over the page; what opens in place is closed so."""
    in_place = page.locator("summary").filter(has_text=name)
    in_place.or_(page.get_by_role("button", name=name, exact=True)).click()
    page.wait_for_timeout(500)


def give(page: Page, label: str, file: Path) -> None:
    """Hand a file over where that label stands."""
    page.get_by_test_id("stFileUploader").filter(has_text=label).locator("input[type=file]").set_input_files(file)


def download(page: Page, name: str) -> tuple[str, bytes]:
    """Name and bytes of a file that the page gives, from its open list of downloads."""
    with page.expect_download() as file:
        page.get_by_role("button", name=name).click()
    return file.value.suggested_filename, saved(file.value)


def take_title(page: Page) -> str:
    return page.get_by_role("heading", level=3).inner_text()


def line_position(page: Page) -> float:
    """Where the line on the piano roll is, in per cent."""
    return float(page.locator("svg line.now").last.get_attribute("x1").rstrip("%"))  # type: ignore[union-attr]


def changed_sound(page: Page, act: Callable[[], object]) -> None:
    """Do something that changes what the player plays, and wait until it plays that."""
    before = page.evaluate("document.querySelector('audio').currentSrc")
    act()
    page.wait_for_function(
        "old => (a => a && a.currentSrc !== old && a.readyState >= 3)(document.querySelector('audio'))", arg=before
    )
    page.wait_for_timeout(700)  # Until the line has joined it.


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
    before = line_position(page)
    page.wait_for_timeout(1000)
    after = line_position(page)
    assert 0 < position < duration
    assert after > before > 0  # The line on the piano roll follows.
    keep_picture(page, "page.png")


def test_upload_of_wrong_files_then_of_a_photo(open_page: OpenPage, photo: Path, tmp_path: Path) -> None:
    from PIL import Image
    from playwright.sync_api import expect

    page = open_page()
    choose(page, "Photo")
    wrong = tmp_path / "notes.jpg"
    wrong.write_text("this is no picture")
    page.get_by_role("button", name="Choose a file", exact=True).first.wait_for()
    give(page, "A photo with a face", wrong)
    page.get_by_text("could not be opened as a picture").wait_for()
    other = tmp_path / "notes.txt"
    other.write_text("nor is this")
    give(page, "A photo with a face", other)
    refused = page.get_by_test_id("stFileChip").filter(has_text="notes.txt")
    said = refused.evaluate("chip => getComputedStyle(chip, '::after').content")
    assert said == '"This file is of another kind, or too large."'
    faceless = tmp_path / "grey.png"
    Image.new("RGB", (300, 200), "grey").save(faceless)
    give(page, "A photo with a face", faceless)
    page.get_by_text("No face was found in this picture").wait_for()
    expect(page.get_by_role("button", name="Compose", exact=True)).to_be_disabled()
    give(page, "A photo with a face", photo)
    page.get_by_text("This looks happy: fairly certain.").wait_for()
    page.get_by_text("Moods that fit").wait_for()
    expect(page.get_by_role("button", name="Compose", exact=True)).to_be_enabled()


def test_pick_compose_and_every_download(open_page: OpenPage, tmp_path: Path) -> None:
    import music21
    import pretty_midi
    import soundfile

    page = open_page()
    choose(page, "Mysterious")
    page.get_by_text("Composing for: Mysterious").wait_for()
    page.get_by_role("button", name="Compose", exact=True).dblclick()  # A second click does no harm.
    page.locator("audio").wait_for()
    page.wait_for_timeout(1500)
    assert page.get_by_text("Your takes so far").count() == 0  # One take.
    heading = take_title(page)
    unfold(page, "Download")
    files = {name.split(".", 1)[1]: data for name, data in
             (download(page, label) for label in ("MIDI", "WAV (", "MP3", "Score", "Stems"))}  # fmt: skip
    assert set(files) == {"mid", "wav", "mp3", "musicxml", "stems.zip"}
    score = pretty_midi.PrettyMIDI(io.BytesIO(files["mid"]))
    assert len([beat for beat in score.get_downbeats() if beat < score.get_end_time() - 0.01]) == 16
    with wave.open(io.BytesIO(files["wav"])) as sound:
        assert sound.getnchannels() == 2
        seconds = sound.getnframes() / sound.getframerate()
    assert seconds > 20
    mp3 = soundfile.info(io.BytesIO(files["mp3"]))
    assert mp3.channels == 2
    assert mp3.frames / mp3.samplerate == pytest.approx(seconds, abs=0.2)
    sheet = tmp_path / "score.musicxml"
    sheet.write_bytes(files["musicxml"])
    melody = next(track for track in score.instruments if track.name == "Melody")
    sounding = music21.converter.parse(sheet).flatten().stripTies().notes
    assert len([note for note in sounding if isinstance(note, music21.note.Note)]) == len(melody.notes)
    with zipfile.ZipFile(io.BytesIO(files["stems.zip"])) as stems:
        names = stems.namelist()
        assert len(names) == len([track for track in score.instruments if track.notes])
        for name in names:
            with wave.open(io.BytesIO(stems.read(name))) as part:
                assert part.getnframes() / part.getframerate() > 15
    assert take_title(page) == heading  # Nothing is lost by any of them.
    assert page.locator("audio").count() == 1


def test_a_link_to_a_changed_piece_gives_identical_midi(open_page: OpenPage) -> None:
    page = open_page("/?mood=peaceful:60,clear:40&seed=12&rounds=1&parts=chords")
    page.locator("audio").wait_for()
    changed_sound(page, lambda: page.get_by_role("button", name="Calmer").click())
    assert take_title(page).endswith("· calmer")
    assert "melody=" in page.url
    other = open_page(page.url[page.url.index("/?") :])
    other.locator("audio").wait_for()
    assert take_title(other) == take_title(page)
    given = []
    for each in (page, other):
        unfold(each, "Download")
        given.append(download(each, "MIDI"))
    assert given[0] == given[1]
    assert given[0][1].startswith(b"MThd")
    page.keyboard.press("Escape")
    unfold(page, "Your takes so far: 2")
    changed_sound(page, lambda: page.get_by_role("button", name="Show", exact=True).click())
    assert not take_title(page).endswith("calmer")
    assert "melody=" not in page.url


def test_a_piece_is_heard_otherwise_at_once(open_page: OpenPage) -> None:
    import pretty_midi

    page = open_page("/?mood=bright&seed=5&rounds=1")
    duration, _ = hear(page)
    changed_sound(page, lambda: choose(page, "With chords"))
    assert line_position(page) > 1  # It goes on where it was.
    changed_sound(page, lambda: choose(page, "First draft"))
    changed_sound(page, lambda: choose(page, "Refined"))
    page.evaluate("(a => { a.pause(); a.currentTime = 4 })(document.querySelector('audio'))")
    page.wait_for_timeout(500)
    place = line_position(page)
    unfold(page, "Sound")
    slider = page.get_by_role("slider", name="Tempo")

    def slower() -> None:
        slider.focus()
        for _ in range(30):
            page.keyboard.press("ArrowLeft")

    changed_sound(page, slower)
    slow, _ = page.evaluate("(a => [a.duration, a.paused])(document.querySelector('audio'))")
    assert slow > duration * 1.15
    assert line_position(page) == pytest.approx(place, abs=1)  # The same note, at another second.
    assert page.evaluate("document.querySelector('audio').paused")  # What was silent stays so.
    page.get_by_role("combobox", name="Melody instrument").click()
    changed_sound(page, lambda: page.get_by_role("option", name="piano").click())
    page.keyboard.press("Escape")
    unfold(page, "Download")
    name, midi = download(page, "MIDI")
    assert name.endswith("-114-bpm-with-chords-piano.mid")
    score = pretty_midi.PrettyMIDI(io.BytesIO(midi))
    assert score.get_tempo_changes()[1][0] == pytest.approx(114, abs=0.1)
    assert next(track.program for track in score.instruments if track.name == "Melody") == 0
    assert {"tempo=114", "lead=piano", "parts=chords"} <= set(page.url.split("?")[1].split("&"))
    page.keyboard.press("Escape")
    page.get_by_text("Loop", exact=True).click()
    page.wait_for_function("document.querySelector('audio').loop", polling=100)
    page.evaluate("(a => { a.currentTime = a.duration - 0.5; a.play() })(document.querySelector('audio'))")
    page.wait_for_function("(a => !a.paused && a.currentTime < 5)(document.querySelector('audio'))", polling=100)


def test_music_plays_on_while_the_next_is_composed_and_every_take_can_be_heard(open_page: OpenPage) -> None:
    page = open_page("/?mood=bright&seed=5&rounds=1")
    hear(page)
    page.evaluate("document.querySelector('audio').first = true")
    unfold(page, "Settings")
    page.get_by_role("slider", name="Rounds of refining").press("End")
    page.get_by_text("30", exact=True).first.wait_for()
    page.get_by_role("button", name="Compose", exact=True).click()
    page.get_by_role("button", name="Stop and keep the best so far").wait_for()
    # The same player, playing: one put in anew would be silent, and keep a connection for itself.
    assert page.evaluate("(a => a.first && !a.paused)(document.querySelector('audio'))")
    unfold(page, "Your takes so far: 2")
    mine, latest, first = (page.locator("audio").nth(index) for index in range(3))
    first.wait_for()
    assert take_title(page) != "Bright · tune 5"
    page.wait_for_function("!document.querySelector('audio').paused")
    first.evaluate("audio => audio.play()")
    page.wait_for_function("document.querySelector('audio').paused")  # One at a time.
    assert not first.evaluate("audio => audio.paused")
    assert latest.evaluate("audio => audio.duration") == pytest.approx(
        mine.evaluate("audio => audio.duration"), abs=0.2
    )
    changed_sound(page, lambda: page.get_by_role("button", name="Show", exact=True).click())
    assert take_title(page) == "Bright · tune 5"
    page.wait_for_function("!document.querySelector('audio').paused")
    assert first.evaluate("audio => audio.paused")


def test_the_melody_is_seen_at_every_step(open_page: OpenPage) -> None:
    page = open_page("/?mood=dark&seed=2&rounds=2")
    page.locator("audio").wait_for()
    unfold(page, "Details: how the tune was refined")
    slider = page.get_by_role("slider", name="The melody on its way")
    notes = page.locator(".st-key-roll_then svg .note")
    places = "notes => notes.map(note => [note.getAttribute('x'), note.getAttribute('y')].join()).join(' ')"
    page.get_by_text(re.compile("Round [12]: pitch loss")).wait_for()
    notes.first.wait_for()
    slider.press("Home")
    page.get_by_text("Round 0: pitch loss").wait_for()
    page.wait_for_timeout(500)
    draft = notes.evaluate_all(places)
    for _ in range(4):  # steps of the first round
        slider.press("ArrowRight")
    page.get_by_text("Round 1: pitch loss").wait_for()
    page.wait_for_timeout(500)
    assert draft
    assert notes.evaluate_all(places) != draft


def test_stop_keeps_the_best_so_far(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page()
    unfold(page, "Settings")
    page.get_by_role("slider", name="Rounds of refining").press("End")
    page.get_by_text("30", exact=True).first.wait_for()
    unfold(page, "Start from your own tune")  # Between its contour and the mood no round is near enough to end early.
    own = tmp_path / "own.mid"
    own.write_bytes(melody.tokens_to_midi(random_tune(3)))
    give(page, "MIDI file", own)
    page.get_by_text("How much of it stays").wait_for()
    page.get_by_role("button", name="Compose", exact=True).click()
    page.get_by_text(re.compile(r"round [1-9]")).first.wait_for()  # A slow browser may not show the first.
    stop = page.get_by_role("button", name="Stop and keep the best so far")
    stop.evaluate("button => { button.click(); button.click(); }")  # at once: a round takes a quarter of a second
    page.locator("audio").wait_for()
    rounds = int(dict(part.split("=") for part in page.url.split("?")[1].split("&"))["rounds"])
    assert 1 <= rounds < 30
    assert page.get_by_role("button", name="Compose", exact=True).is_enabled()
    unfold(page, "Details: how the tune was refined")
    page.get_by_text(f"Rounds: {rounds}.").wait_for()


def test_own_tune_in_another_mood(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page()
    choose(page, "Gloomy")
    unfold(page, "Start from your own tune")
    wrong, right = tmp_path / "wrong.mid", tmp_path / "own.mid"
    wrong.write_bytes(b"MThd but nothing more of it")
    right.write_bytes(melody.tokens_to_midi(random_tune(3)))
    give(page, "MIDI file", wrong)
    page.get_by_text("No melody could be taken from this file").wait_for()
    give(page, "MIDI file", right)
    page.get_by_text("How much of it stays").wait_for()
    keep_picture(page, "own.png")
    page.get_by_text("Composing for: Gloomy · from your own tune").wait_for()
    compose(page)
    assert take_title(page).endswith("from your own tune")
    assert "melody=" in page.url


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
    page.wait_for_function("document.documentElement.lang === 'ko'")
    compose(page, "작곡하기")

    def fits() -> None:
        for box in ("document.documentElement", "document.querySelector('[data-testid=stMain]')"):
            assert page.evaluate(f"{box}.scrollWidth - {box}.clientWidth") == 0
        assert not english(page)
        assert page.evaluate(
            "[...document.querySelectorAll('p')].every(p => getComputedStyle(p).wordBreak === 'keep-all')"
        )

    fits()
    page.wait_for_function(
        "(box => box.top > 0 && box.bottom < innerHeight)(document.querySelector('audio').getBoundingClientRect())"
    )  # The music came into view.
    keep_picture(page, "phone.png")
    page.set_viewport_size({"width": 390, "height": 900})
    for name in ("막대로 섞기", "내 선율로 시작하기", "설정", "소리", "받기", "주소", "자세히: 곡이 다듬어진 과정"):
        unfold(page, name)
        fits()
        page.keyboard.press("Escape")
    page.set_viewport_size({"width": 320, "height": 800})  # WCAG 1.4.10 asks for as little.
    for name in ("카메라", "사진 올리기"):
        choose(page, name)
        page.get_by_text("언제든 지울 수 있어요").wait_for()
        fits()
    page.get_by_role("button", name="파일 고르기", exact=True).first.wait_for()
    sound = page.evaluate("document.querySelector('audio').currentSrc")
    choose(page, "English")
    page.get_by_role("heading", name="Your music").wait_for()
    page.wait_for_function("document.documentElement.lang === 'en'")
    assert page.evaluate("document.querySelector('audio').currentSrc") == sound  # The music plays on.


def english(page: Page) -> set[str]:
    """English words that a reader of Korean sees or hears, but for names, signs and what is English everywhere."""
    texts = page.evaluate("""() => {
        const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), texts = [];
        while (walker.nextNode()) {
            const parent = walker.currentNode.parentElement;
            const unread = parent.closest("script, style, svg, [role=img], [translate=no], [data-testid=stCode]");
            const shown = parent.checkVisibility({ visibilityProperty: true });
            const size = getComputedStyle(parent).fontSize;
            if (shown && !unread && size !== "0px") texts.push(walker.currentNode.textContent);
        }
        for (const name of ["aria-label", "alt", "title", "placeholder"])
            for (const element of document.querySelectorAll(`[${name}]`))
                if (element.checkVisibility({ visibilityProperty: true })) texts.push(element.getAttribute(name));
        return texts;
    }""")
    known = {"Maeum", "English", "MIDI", "MusicXML", "WAV", "ZIP", "JPEG", "PNG", "WebP", "HEIC", "actor", "critic"}
    words = {word for text in texts for word in re.findall("[A-Za-z]{3,}", text)} - known
    return {word for word in words if not re.fullmatch("[A-G]b?(m|dim)|[IViv]+", word)}  # chords


def test_keyboard_alone_is_enough(open_page: OpenPage) -> None:
    page = open_page()

    def press_on(element: Locator, key: str, most: int = 60) -> None:
        """Walk to it with Tab, and press the key."""
        element.wait_for()
        for _ in range(most):
            if element.evaluate("element => element === document.activeElement"):
                page.keyboard.press(key)
                return
            page.keyboard.press("Tab")
        pytest.fail(f"{element} cannot be reached with Tab")

    press_on(page.get_by_role("button", name="Compose", exact=True), "Enter")
    page.locator("audio").wait_for()
    assert hear(page)[0] > 20
    press_on(page.get_by_role("button", name="Download", exact=True), "Enter")
    with page.expect_download() as file:
        press_on(page.get_by_role("button", name="MIDI"), "Enter")
    assert saved(file.value).startswith(b"MThd")
    page.keyboard.press("Escape")
    press_on(page.get_by_role("button", name="About Maeum"), "Enter")
    page.get_by_role("dialog").get_by_text("An expression is not a feeling").wait_for()


def test_reduced_motion_moves_the_line_bar_by_bar(open_page: OpenPage) -> None:
    page = open_page("/?mood=bright&seed=5&rounds=1", calm=True)
    hear(page)
    places = set()
    for _ in range(8):
        page.wait_for_timeout(250)
        places.add(line_position(page))
    assert all(place % (100 / 16) == 0 for place in places)
    assert len(places) > 1


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
def test_axe_finds_nothing_at_levels_a_and_aa(open_page: OpenPage, photo: Path, dark: bool) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = open_page("/?mood=bright&seed=1&rounds=1", dark=dark)
    page.locator("audio").wait_for()
    page.get_by_role("button", name="Calmer").click()
    unfold(page, "Your takes so far: 2")
    unfold(page, "Details: how the tune was refined")
    page.get_by_text(re.compile("Round [0-9]+: pitch loss")).wait_for()
    options = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}}

    def check(what: str) -> None:
        page.wait_for_timeout(1500)  # Until nothing fades any more, or half-faded texts count as pale.
        result = Axe().run(page, options=options)
        assert not result.response["violations"], f"{what}: {result.generate_report()}"

    check("the page")
    for name in (
        "Mix with sliders",
        "Start from your own tune",
        "Settings",
        "Sound",
        "Download",
        "Link",
        "About Maeum",
    ):
        unfold(page, name)
        check(name)
        page.keyboard.press("Escape")
    choose(page, "Camera")
    page.get_by_text("Turn the camera on").click()
    page.wait_for_function("(v => v && v.videoWidth > 0)(document.querySelector('video'))")
    check("the camera")
    choose(page, "Photo")
    give(page, "A photo with a face", photo)
    page.get_by_text("Moods that fit").wait_for()
    check("a reading")
