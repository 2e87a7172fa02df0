"""The page by Streamlit's own test driver: what a visitor sees and keeps, without a browser."""

from __future__ import annotations

import io
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streamlit
from streamlit.testing.v1 import AppTest

import emotion
import streamlit_app
from generator.takes import Take
from tests.test_melody import saved, song
from tests.tunes import random_tune

PAGE = str(Path(__file__).parent.parent / "streamlit_app.py")
LONGEST = 60.0  # Seconds for one piece, the first one's loading included.


def open_page(**query: str) -> AppTest:
    page = AppTest.from_file(PAGE, default_timeout=LONGEST)
    for key, value in query.items():
        page.query_params[key] = value
    return settled(page.run())


def settled(page: AppTest) -> AppTest:
    """The page after its piece is done: what the browser's timer does, done by hand."""
    end = time.monotonic() + LONGEST
    while page.session_state["job"] is not None:
        assert time.monotonic() < end, "the piece was not done in time"
        time.sleep(0.2)
        page.run()
    assert not page.exception
    return page


def by_key(elements: Any, key: str) -> Any:
    (found,) = [element for element in elements if element.key == key]
    return found


def by_label(elements: Any, label: str) -> Any:
    (found,) = [element for element in elements if element.label == label]
    return found


def pick(page: AppTest, mood: str) -> AppTest:
    by_label(page.button_group, "Choose one of nine moods").select(mood)
    return page.run()


def compose(page: AppTest, seed: int, rounds: int = 1) -> AppTest:
    by_key(page.number_input, "tune").set_value(seed)
    by_key(page.slider, "rounds").set_value(rounds)
    return settled(by_label(page.button, "Compose").click().run())


def unfold(page: AppTest, key: str) -> None:
    """Open a part that is made only once it is open."""
    page.session_state[key] = True
    page.run()
    assert not page.exception


def last(page: AppTest) -> Take:
    take: Take = page.session_state["takes"][-1]
    return take


def address(page: AppTest) -> dict[str, str]:
    """What stands in the page's address."""
    return {key: value[-1] if isinstance(value, list) else value for key, value in page.query_params.items()}


def downloads(page: AppTest) -> dict[str, bytes]:
    """The MIDI files of all takes by name."""
    takes: list[Take] = page.session_state["takes"]
    return {take.plain.title.file: take.plain.midi for take in takes}


def png(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="module")
def face() -> bytes:
    skimage_data = pytest.importorskip("skimage.data")
    return png(skimage_data.astronaut())


def upload(page: AppTest, name: str, data: bytes) -> AppTest:
    by_label(page.button_group, "How to tell your mood").select("photo").run()
    page.file_uploader[0].upload(name, data, "image/png")
    page.run()
    assert not page.exception
    return page


def headings(page: AppTest) -> list[str]:
    return [heading.value for heading in page.header]


def words(page: AppTest) -> str:
    return "\n".join(element.value for kind in (page.markdown, page.caption) for element in kind)


def test_first_view_asks_for_a_mood_and_turns_no_camera_on() -> None:
    page = open_page()
    assert headings(page) == ["1. How do you feel?", "2. Compose"]
    assert len(by_label(page.button_group, "Choose one of nine moods").options) == 9
    assert not page.camera_input
    assert not page.error


def test_the_notice_stands_before_the_camera_and_the_camera_waits_for_its_switch() -> None:
    page = open_page()
    by_label(page.button_group, "How to tell your mood").select("camera").run()
    assert "never saved" in page.info[0].value
    assert not page.camera_input
    page.toggle[0].set_value(True).run()
    assert len(page.camera_input) == 1
    assert not page.exception


def test_language_switch_changes_every_text_and_keeps_the_mood() -> None:
    page = pick(open_page(), "gloomy")
    page.button_group[0].select("ko").run()
    assert headings(page) == ["1. 지금 마음은 어떤가요?", "2. 작곡하기"]
    assert "우울함" in words(page)
    assert "Gloomy" not in words(page)
    assert [button.label for button in page.button] == ["작곡하기", "Maeum에 대하여"]


def test_sliders_mix_moods_without_a_pointer_and_a_mood_moves_them_back() -> None:
    page = open_page()
    peaceful = emotion.category("peaceful")
    assert by_key(page.slider, "picked_valence").value == round(100 * peaceful.valence)
    by_key(page.slider, "picked_arousal").set_value(-50).run()
    assert re.search(r"Composing for: \*\*Peaceful \d+% · Clear \d+%", words(page))
    assert by_label(page.button_group, "Choose one of nine moods").value is None
    pick(page, "gloomy")
    assert by_key(page.slider, "picked_arousal").value == round(100 * emotion.category("gloomy").arousal)
    assert "Composing for: **Gloomy**" in words(page)


def test_without_a_mood_there_is_nothing_to_compose() -> None:
    page = open_page()
    by_label(page.button_group, "How to tell your mood").select("photo").run()
    assert by_label(page.button, "Compose").disabled
    assert "First tell your mood" in words(page)


def test_a_piece_stays_while_other_things_are_clicked() -> None:
    page = compose(pick(open_page(), "mysterious"), 11)
    assert headings(page)[-1] == "3. Your music"
    assert page.subheader[0].value == "Mysterious · tune 11"
    take = last(page)
    page.download_button[0].click().run()
    page.button_group[0].select("ko").run()
    page.button_group[0].select("en").run()
    pick(page, "bright")
    assert page.subheader[0].value == "Mysterious · tune 11"
    assert page.session_state["takes"] == [take]
    targets = emotion.category("mysterious")
    unfold(page, "details")
    table = next(text.value for text in page.markdown if "| Asked for |" in text.value)
    assert f"| {targets.density:.1f} | {take.before.density:.1f} | {take.reached.density:.1f} |" in table
    assert f"at {targets.tempo:.0f} beats a minute" in words(page)
    assert f"About {targets.density:.1f} notes a bar were asked for, and {take.reached.density:.1f} came" in words(page)


def test_same_number_same_tune_and_without_a_number_another() -> None:
    page = compose(pick(open_page(), "clear"), 3)
    settled(by_label(page.button, "Same mood, new tune").click().run())
    compose(page, 3)
    first, second, third = page.session_state["takes"]
    assert first.plain.midi == third.plain.midi
    assert first.plain.midi != second.plain.midi
    other = second.recipe.seed
    unfold(page, "history")
    titles = [text.value for text in page.markdown if re.match(r"\d\. Clear", text.value)]
    assert titles == [f"{i}. Clear · tune {n}" for i, n in ((3, 3), (2, other), (1, 3))]
    assert [by_key(page.button, f"show_{i}").disabled for i in range(3)] == [False, False, True]
    by_key(page.button, "show_1").click().run()
    assert page.subheader[0].value == f"Clear · tune {other}"
    assert address(page)["seed"] == str(other)
    assert [by_key(page.button, f"show_{i}").disabled for i in range(3)] == [False, True, False]


def test_a_link_and_nothing_else_gives_the_same_piece_to_somebody_else() -> None:
    page = compose(pick(open_page(), "lively"), 21)
    other = open_page(**address(page))
    assert downloads(other) == downloads(page)
    assert other.subheader[0].value == "Lively · tune 21"
    # Nobody who comes without the link finds another visitor's piece.
    assert not open_page().session_state["takes"]


def test_a_mixed_link_is_composed_for_both() -> None:
    page = open_page(mood="peaceful:70,clear:30", seed="5", rounds="1")
    assert page.subheader[0].value == "Peaceful 70% · Clear 30% · tune 5"


@pytest.mark.parametrize(
    "query",
    [
        {"mood": "hungry", "seed": "1"},
        {"mood": "peaceful", "seed": "x"},
        {"mood": "peaceful", "seed": "-1"},
        {"mood": "peaceful"},
        {"mood": "peaceful:0", "seed": "1"},
        {"mood": "peaceful:" + "9" * 5000, "seed": "1"},
        {"mood": "<script>", "seed": "9" * 5000},
        {"mood": "peaceful", "seed": "1", "melody": "no melody"},
        {"mood": "peaceful", "seed": "1", "tempo": "fast"},
    ],
)
def test_a_link_that_makes_no_sense_opens_the_start_page_with_a_message(query: dict[str, str]) -> None:
    page = open_page(**query)
    assert not page.exception
    assert "not understood" in page.error[0].value
    assert headings(page) == ["1. How do you feel?", "2. Compose"]


def test_a_photo_is_read_and_can_be_corrected(face: bytes) -> None:
    page = upload(open_page(), "me.png", face)
    assert not page.warning
    assert "Moods that fit" in words(page)
    assert by_label(page.button, "Compose").disabled is False
    by_label(page.button_group, "Not how you feel? Choose the mood yourself").select("gloomy").run()
    assert "Composing for: **Gloomy**" in words(page)


def test_a_removed_picture_is_gone(face: bytes) -> None:
    page = upload(open_page(), "me.png", face)
    assert page.session_state["picture"] is not None
    by_label(page.button, "Remove the picture").click().run()
    assert page.session_state["picture"] is None
    assert page.session_state["reading"] is None
    assert page.file_uploader[0].value is None


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("notes.png", b"this is no picture", "could not be opened as a picture"),
        ("empty.png", b"", "could not be opened as a picture"),
        ("grey.png", png(np.full((200, 200, 3), 128, np.uint8)), "No face was found"),
    ],
)
def test_a_file_that_is_no_face_gets_a_message(name: str, data: bytes, message: str) -> None:
    page = upload(open_page(), name, data)
    assert message in page.warning[0].value
    assert page.session_state["picture"] is None
    assert by_label(page.button, "Compose").disabled


def test_a_fault_while_composing_is_a_message_and_the_next_try_works(monkeypatch: pytest.MonkeyPatch) -> None:
    import generator.compose

    def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    page = pick(open_page(), "intense")
    with monkeypatch.context() as patch:
        patch.setattr(generator.compose, "compose", broken)
        compose(page, 8)
    assert "Something went wrong while composing" in page.error[0].value
    assert "secret detail" not in page.error[0].value
    compose(page, 8)
    assert not page.error
    assert page.subheader[0].value == "Intense · tune 8"


def test_a_refused_midi_file_is_explained_in_either_language() -> None:
    page = open_page()
    page.button_group[0].select("ko").run()
    by_key(page.file_uploader, "own_file").upload("short.mid", saved(song(bars=8)), "audio/midi")
    page.run()
    assert "길어야 8마디예요" in page.warning[0].value
    page.button_group[0].select("en").run()
    assert "its longest melody at one tempo has 8 bars" in page.warning[0].value


def test_a_word_of_the_language_before_is_no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    # The browser sends it where a click follows the switch of languages at once.
    monkeypatch.setattr(streamlit, "session_state", {"model": "Maeum의 기본 모델", "device": "cpu"})
    assert streamlit_app.chosen("model", ["default", "mine"]) == "default"
    assert streamlit_app.chosen("device", ["auto", "cpu"]) == "cpu"
    assert streamlit_app.chosen("recogniser", ["embedded", "deepface"]) == "embedded"


def test_own_melody_of_a_file_is_chosen_kept_and_in_the_link() -> None:
    from generator.melody import tokens_to_midi

    page = pick(open_page(), "gloomy")
    by_key(page.file_uploader, "own_file").upload("notes.mid", b"no midi at all", "audio/midi")
    page.run()
    assert "No melody could be taken from this file" in page.warning[0].value
    by_key(page.file_uploader, "own_file").upload("own.mid", tokens_to_midi(random_tune(3)), "audio/midi")
    page.run()
    assert not page.warning
    assert "from your own tune" in words(page)
    by_key(page.slider, "own_keep").set_value(80).run()
    compose(page, 5)
    take = last(page)
    assert take.recipe.origin == "own"
    assert take.recipe.keep == 0.8
    assert page.subheader[0].value == "Gloomy · tune 5 · from your own tune"
    assert downloads(open_page(**address(page))) == downloads(page)
