"""Every text of the page is there in both languages, and every text that is there is used."""

from __future__ import annotations

import re
import string
import tomllib
from pathlib import Path
from typing import get_args

import pytest

import emotion
from generator.melody import Fault

ROOT = Path(__file__).parent.parent
TEXTS: dict[str, dict[str, str]] = tomllib.loads((ROOT / "assets" / "texts.toml").read_text(encoding="utf-8"))
PAGE = (ROOT / "streamlit_app.py").read_text(encoding="utf-8")


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("key", TEXTS)
def test_is_whole_in_both_languages(key: str) -> None:
    korean, english = TEXTS[key]["ko"], TEXTS[key]["en"]
    assert korean.strip()
    assert english.strip()
    assert fields(korean) == fields(english)
    assert set(TEXTS[key]) == {"ko", "en"}


@pytest.mark.parametrize("key", [key for key in TEXTS if key != "recogniser_deepface"])
def test_korean_is_korean(key: str) -> None:
    assert re.search("[가-힣]", TEXTS[key]["ko"])


def test_english_is_not_korean() -> None:
    words = {key: text["en"].replace("마음", "") for key, text in TEXTS.items()}
    assert not [key for key, text in words.items() if re.search("[가-힣]", text)]


def test_page_asks_only_for_texts_that_exist() -> None:
    asked = re.findall(r"""say\(["'](\w+)["'][,)]""", PAGE) + re.findall(r'"(error_\w+)"', PAGE)
    assert asked
    assert set(asked) <= set(TEXTS)


def test_no_text_is_left_over() -> None:
    # Keys that the page puts together: say("source_" + name), say(f"expression_{name}"), labels("parts", names).
    built = (
        *re.findall(r"""say\(f?["'](\w+_)(?:["'] \+|\{)""", PAGE),
        *(f"{kind}_" for kind in re.findall(r"""(?:labels|switch|choose)\(["'](\w+)["']""", PAGE)),
    )
    built = (*built, *re.findall(r'key.startswith\("(\w+_)"\)', PAGE))
    assert len(built) > 5
    assert not [key for key in TEXTS if not re.search(f"""["']{key}["']""", PAGE) and not key.startswith(built)]


def test_every_expression_has_a_name() -> None:
    from emotion.recognizer import EXPRESSIONS

    assert {f"expression_{name}" for name in EXPRESSIONS} <= set(TEXTS)


def test_every_fault_of_a_midi_file_has_words() -> None:
    assert {f"midi_{fault}" for fault in get_args(Fault)} <= set(TEXTS)
    assert fields(TEXTS["midi_meter"]["ko"]) == {"meter"}
    assert fields(TEXTS["midi_short"]["ko"]) == {"bars"}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_moods_differ_from_each_other_and_from_the_background(theme: str) -> None:
    colours = tomllib.loads((ROOT / "assets" / "colours.toml").read_text(encoding="utf-8"))
    settings = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8"))
    background = luminance(settings["theme"][theme]["backgroundColor"])
    assert set(colours) == set(emotion.categories())
    assert len({each[theme] for each in colours.values()}) == 9
    for name, each in colours.items():
        darker, lighter = sorted((background, luminance(each[theme])))
        assert (lighter + 0.05) / (darker + 0.05) >= 3, name  # WCAG 2.1, 1.4.11


def luminance(colour: str) -> float:
    """Relative luminance of "#rrggbb", as WCAG defines it."""
    shares = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_all_that_can_be_chosen_has_a_name() -> None:
    from emotion.recognizer import RECOGNISERS
    from generator import arrange, link, styles

    assert {f"lead_{name}" for name in styles.LEADS} <= set(TEXTS)
    assert {f"parts_{name}" for name in get_args(arrange.Parts)} <= set(TEXTS)
    assert {f"recogniser_{name}" for name in RECOGNISERS} <= set(TEXTS)
    assert {f"again_{change}" for change in get_args(link.Change)} <= set(TEXTS)
    assert {f"origin_{origin}" for origin in link.ORIGINS if origin != "new"} <= set(TEXTS)
    assert {f"device_{name}" for name in ("auto", "cuda", "cpu")} <= set(TEXTS)


def test_nine_moods_have_korean_names() -> None:
    assert len(emotion.categories()) == 9
    assert all(re.fullmatch("[가-힣]+", mood.korean) for mood in emotion.categories().values())
