"""The page: a mood or a face in, sixteen bars of music out, in Korean and in English.

Three steps from top to bottom: the mood, composing, the music. All that a visitor made lives in their session's state,
so that no click on anything loses it. The page only shows and asks: what a face or a melody means is worked out in
`emotion` and `generator`, a piece is composed by a worker beside the page (`generator.jobs`), what was made is kept as
takes (`generator.takes`), and a link carries what a take is made from (`generator.link`).
"""

from __future__ import annotations

import json
import logging
import secrets
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args
from urllib.parse import urlencode

import numpy as np
import streamlit as st

import emotion
from emotion.mood import among_moods, moods_at
from generator import link, plots
from generator.arrange import Parts
from generator.audio import AudioError
from generator.harmony import by_bar, tonic_name
from generator.jobs import BusyError, Composer, Job
from generator.key import PITCH_NAMES
from generator.link import Change, Heard, Recipe
from generator.melody import FEWEST_NOTES, STEPS, STEPS_PER_QUARTER, MelodyError, Tokens, notes
from generator.takes import Shelf, Sound, Take

if TYPE_CHECKING:
    from generator.actor_critic import Round

Name = TypeVar("Name", bound=str)

LANGUAGES = ("ko", "en")
ASSETS = Path(__file__).parent / "assets"
PLAYER = "player"  # The key of the block with the player, and so a part of its CSS class.
PHOTO_TYPES = ["jpg", "jpeg", "png", "webp", "heic", "heif", "avif", "gif", "bmp"]
MIDI_MEGABYTES = 1  # The least that can be set; `generator.melody` has the finer limits.
DOWNLOADS = {
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "mid": "audio/midi",
    "musicxml": "application/vnd.recordare.musicxml+xml",
    "stems.zip": "application/zip",
}
NO_NOTES: Tokens = np.zeros(STEPS, np.uint8)
CURVES = ("pitch_loss", "density_loss", "realism")
CHANGES: dict[Change, str] = {"calmer": "spa", "brighter": "sunny", "denser": "grain", "sparser": "blur_on"}

log = logging.getLogger(__name__)


# --- Words -----------------------------------------------------------------------------------------------------------


@st.cache_resource(show_spinner=False)
def texts() -> dict[str, dict[str, str]]:
    """Every text of the page, by key and language."""
    return tomllib.loads(asset("texts.toml"))


def language() -> str:
    """The visitor's language: what they chose, or before that what their browser asks for."""
    chosen: str = st.session_state.get("language") or st.session_state.first_language
    return chosen


def say(key: str, /, **values: object) -> str:
    """The text of that key in the visitor's language, with its {names} filled in."""
    return texts()[key][language()].format(**values)


def labels(kind: str, names: Iterable[str]) -> dict[str, str]:
    """What some choices of a kind are called, by name."""
    return {name: say(f"{kind}_{name}") for name in names}


def mood_name(name: str) -> str:
    """A category's name in the visitor's language."""
    return emotion.category(name).korean if language() == "ko" else name.capitalize()


def mood_mix(weights: Mapping[str, float]) -> str:
    """The moods of a mix, the strongest first: 'Peaceful', or 'Peaceful 70 % · Clear 30 %'."""
    ranked = sorted(weights.items(), key=lambda item: -item[1])
    if len(ranked) == 1:
        return mood_name(ranked[0][0])
    return " · ".join(f"{mood_name(name)} {weight:.0%}" for name, weight in ranked[:3])


def take_title(recipe: Recipe) -> str:
    """What a take is called: its moods, its number, and where it came from."""
    title = say("take_title", mood=mood_mix(recipe.moods), seed=recipe.seed)
    return title if recipe.origin == "new" else f"{title} · {say('origin_' + recipe.origin)}"


# --- What a session keeps --------------------------------------------------------------------------------------------


def first_language() -> str:
    """Korean for a browser that asks for Korean, English for every other."""
    return "ko" if (st.context.locale or "").lower().startswith("ko") else "en"


def begin_session() -> None:
    """Fill in what a new visitor's session keeps. What the link says is taken over once, here.

    What a widget begins with is given to the widget, not written into the session's state under the widget's key: a
    click during the first run would let the browser fall back to the widget's own default.
    """
    state = st.session_state
    if "takes" in state:
        return
    state.first_language = first_language()
    state.first_mood = "peaceful"
    state.picture = None
    state.pictures = 0
    state.taps = {}
    state.reading = None
    state.melodies = (None, [])  # The MIDI file that was read, and its melodies or what is wrong with it.
    state.takes = []
    state.heard = []  # How each take was first heard.
    state.shelf = Shelf()
    state.shown = 0
    state.job = None
    state.next_heard = Heard()
    state.problem = None
    if "mood" in st.query_params:
        open_link(st.query_params.to_dict())


def open_link(query: Mapping[str, str]) -> None:
    """Start on the piece of the page's address, or say that it makes no sense."""
    try:
        recipe, heard = link.from_query(query)
    except link.LinkError as error:
        log.info("link refused: %s", error)
        st.session_state.problem = say("error_link")
        return
    st.session_state.first_mood = main_mood(recipe)
    start(recipe, heard)


# --- 1. The mood -----------------------------------------------------------------------------------------------------


def choose_mood() -> dict[str, float] | None:
    """Step 1. Returns the moods and their weights, or None while nothing is chosen or read."""
    st.header(say("step_mood"), anchor=False)
    sources = {
        "pick": f":material/mood: {say('source_pick')}",
        "camera": f":material/photo_camera: {say('source_camera')}",
        "photo": f":material/image: {say('source_photo')}",
    }
    source = st.segmented_control(
        say("source_label"),
        list(sources),
        format_func=sources.__getitem__,
        default="pick",
        key="source",
        required=True,
        label_visibility="collapsed",
    )
    if source == "pick":
        return pick("picked", say("pick_label"), say("plane_hint"), st.session_state.first_mood)
    if st.session_state.picture is None:
        st.info(say("privacy"), icon=":material/lock:")
        ask_for_picture(source)
    return show_reading() if st.session_state.picture is not None else None


def pick(
    key: str, label: str, hint: str, first: str | None = None, here: plots.Place | None = None
) -> dict[str, float] | None:
    """The nine moods as buttons, and as a map where a tap between them mixes them, or two sliders do.

    first: the mood to begin with. here: the place to begin with. Returns moods and weights, or None.
    """
    state = st.session_state
    nine = emotion.categories()
    # A tap on the map begins new buttons: their state cannot be both given a default and set from outside.
    taps, first, tapped = state.taps.get(key, (0, first, None))
    names = {name: mood_name(name) for name in nine}
    name = st.pills(
        label, list(nine), default=first, format_func=names.__getitem__, key=f"{key}_{taps}", persist_state="page"
    )
    place: plots.Place | None = (nine[name].valence, nine[name].arousal) if name else tapped
    chart = plots.plane(
        {each.name: (names[each.name], (each.valence, each.arousal)) for each in nine.values()},
        place or here,
        (say("unpleasant"), say("pleasant"), say("calm"), say("excited")),
        {mood: colour(mood) for mood in nine},
        ink(),
    )
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.caption(hint, width="content")
        with st.popover(say("slide"), icon=":material/tune:", key=f"{key}_slide"):
            sliders(key, place or here or (0.0, 0.0))
    st.vega_lite_chart(chart, key=f"{key}_map", on_select=lambda: tap(key), alt=say("plane_alt"))
    if name:
        return {name: 1.0}
    return emotion.strongest(moods_at(place)) if place else None


def sliders(key: str, place: plots.Place) -> None:
    """The map once more, for whoever has no pointer: how pleasant and how excited, in hundredths."""
    state = st.session_state
    for name, limits, at in zip(("valence", "arousal"), (plots.VALENCE, plots.AROUSAL), place, strict=True):
        # Set from outside, since a tap moves them too: sliders begun anew at each change would lose the keyboard.
        state[f"{key}_{name}"] = round(100 * at)
        low, high = (round(100 * limit) for limit in limits)
        st.slider(say(f"slide_{name}"), low, high, step=1, key=f"{key}_{name}", on_change=slide, args=(key,))


def slide(key: str) -> None:
    """A slider moves the place, away from any mood."""
    state = st.session_state
    place = state[f"{key}_valence"] / 100, state[f"{key}_arousal"] / 100
    state.taps[key] = (state.taps.get(key, (0,))[0] + 1, None, place)


def tap(key: str) -> None:
    """A tap on the map picks the mood that it hits, or keeps the place between them."""
    state = st.session_state
    points = state[f"{key}_map"].selection[plots.TAP]
    if points:
        name, place = points[0]["name"] or None, (points[0]["valence"], points[0]["arousal"])
        state.taps[key] = (state.taps.get(key, (0,))[0] + 1, name, None if name else place)


def ask_for_picture(source: str) -> None:
    """The camera, off until the visitor turns it on, or a photo from their device. A picture with a face is kept."""
    state = st.session_state
    if source == "photo":
        given = st.file_uploader(say("photo_label"), type=PHOTO_TYPES, key=f"photo_{state.pictures}")
    elif st.toggle(say("camera_toggle"), key=f"camera_on_{state.pictures}"):
        given = st.camera_input(say("camera_label"), key=f"camera_{state.pictures}")
        st.caption(say("camera_denied"))
    else:
        given = None
    if given is None:
        return
    problem = try_to_read(given.getvalue())
    if problem:
        st.warning(say(problem), icon=":material/warning:")
        return
    # New keys: the camera goes off, and Streamlit drops the file that it held.
    state.pictures += 1
    st.rerun()


def try_to_read(picture: bytes, face: int = 0) -> str | None:
    """Read a face and keep picture and reading, or return the key of the text that says what is wrong."""
    try:
        with st.spinner(say("reading_face")):
            reading = emotion.read(picture, face, chosen("recogniser", recognisers()))
            shown = emotion.outline(picture, reading)
    except emotion.NoFaceError:
        return "error_no_face"
    except emotion.PictureError:
        return "error_picture"
    except emotion.EmotionError:
        log.exception("reading failed")
        return "error_reading"
    st.session_state.picture, st.session_state.reading = picture, (reading, shown)
    return None


def show_reading() -> dict[str, float] | None:
    """What was read from the picture, how sure it is, and how to correct it. Returns the moods to compose for."""
    state = st.session_state
    reading, shown = state.reading
    left, right = st.columns([2, 3], gap="medium")
    with left:
        st.image(shown, caption=say("reading_caption"), alt=say("reading_alt"))
        st.button(say("forget"), on_click=forget_picture, icon=":material/delete:", width="stretch")
    with right:
        names = labels("expression", reading.ranked)
        likely, other, *_ = names.values()
        st.markdown(say(f"sure_{reading.sure}", name=likely, other=other))
        shares = {name: reading.expressions[expression] for expression, name in names.items()}
        in_words = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
        st.vega_lite_chart(plots.shares(shares, ink()), alt=say("shares_alt", shares=in_words))
        moods = emotion.strongest(reading.moods)
        st.markdown(f"**{say('moods_heading')}:** {mood_mix(moods)}")
        st.caption(say("recogniser", name=say(f"recogniser_{reading.recogniser}")))
    if len(reading.faces) > 1:
        face = st.pills(
            say("several_faces", count=len(reading.faces)),
            range(len(reading.faces)),
            default=reading.face,
            format_func=lambda index: str(index + 1),
            required=True,
            key=f"face_{state.pictures}",
        )
        if face != reading.face and try_to_read(state.picture, face) is None:
            st.rerun()
    here = among_moods((reading.valence, reading.arousal))
    return pick(f"corrected_{state.pictures}", say("correct_label"), say("reading_hint"), here=here) or moods


def forget_picture() -> None:
    """Drop the picture and everything read from it."""
    st.session_state.picture = st.session_state.reading = None


# --- 2. Composing ----------------------------------------------------------------------------------------------------


@st.cache_resource(show_spinner=False)
def composer() -> Composer:
    """The server's one worker, which loads the model while the first visitor reads."""
    worker = Composer()
    worker.warm_up()
    return worker


def start(recipe: Recipe, heard: Heard | None = None) -> None:
    """Put a piece in the line. Whatever waits there for this visitor goes on, so a second click does no harm."""
    state = st.session_state
    if state.job is not None:
        return
    try:
        # As its link has it, so that the link gives the very same piece.
        state.job = composer().submit(recipe.exactly(), chosen("device", composer().devices()))
        state.next_heard = heard or Heard()
    except BusyError:
        state.problem = say("error_busy")


def ask_to_compose(weights: dict[str, float] | None) -> None:
    """Step 2: what will be composed, the button, and what need not be touched."""
    state = st.session_state
    st.header(say("step_compose"), anchor=False)
    sentence, button = st.empty(), st.empty()
    with st.expander(say("own"), icon=":material/queue_music:", key="own"):
        melody, keep = own_melody()
    with st.expander(say("settings"), icon=":material/tune:", key="settings"):
        settings()
    if weights is None:
        sentence.write(say("mood_missing"))
    else:
        from_own = "" if melody is None else f" · {say('origin_own')}"
        sentence.markdown(say("composing_for", mood=f"**{mood_mix(weights)}**{from_own}"))
    button.button(
        say("compose"),
        type="primary",
        icon=":material/music_note:",
        width="stretch",
        disabled=weights is None or state.job is not None,
        on_click=compose,
        args=(weights or {}, None if melody is None else melody.tobytes(), keep),
    )
    if state.problem:
        st.error(state.problem, icon=":material/error:")
        state.problem = None


def compose(weights: Mapping[str, float], melody: bytes | None, keep: float) -> None:
    """Start on a piece with the settings as they are. Without a number of its own it is any tune of these moods."""
    state = st.session_state
    recipe = Recipe(
        weights,
        any_tune() if state.get("tune") is None else state.tune,
        melody,
        keep if melody else Recipe.keep,
        origin="own" if melody else "new",
        rounds=state.get("rounds", Recipe.rounds),
        temperature=state.get("temperature", Recipe.temperature),
        model=chosen("model", composer().models()),
    )
    start(recipe)


def any_tune() -> int:
    """The number of a tune that nobody chose."""
    return secrets.randbelow(link.SEED_LIMIT)


def own_melody() -> tuple[Tokens | None, float]:
    """The visitor's own MIDI file: a melody from it, or None, and how much of it is to stay."""
    state = st.session_state
    st.write(say("own_text"))
    given = st.file_uploader(say("own_label"), type=["mid", "midi"], key="own_file", max_upload_size=MIDI_MEGABYTES)
    if given is None:
        state.melodies = (None, [])
        return None, Recipe.keep
    if state.melodies[0] != given.file_id:
        state.melodies = (given.file_id, read_midi(given.getvalue()))
    found: list[Tokens] | MelodyError = state.melodies[1]
    if isinstance(found, MelodyError):
        reason = say(f"midi_{found.fault}", **found.came)
        st.warning(say("error_midi", reason=reason), icon=":material/warning:")
        return None, Recipe.keep
    which = 1
    if len(found) > 1:
        which = st.slider(say("own_which", count=len(found)), 1, len(found), key=f"own_{given.file_id}")
    draw_roll("own_roll", found[which - 1])
    keep = st.slider(
        say("own_keep"), 0, 100, round(100 * Recipe.keep), 5, format="%d%%", key="own_keep", help=say("own_keep_help")
    )
    return found[which - 1], keep / 100


def read_midi(data: bytes) -> list[Tokens] | MelodyError:
    """The melodies of a MIDI file, or what is wrong with it."""
    from generator.melody import midi_to_melodies

    try:
        with st.spinner(say("reading_midi")):
            found = midi_to_melodies(data)
    except MelodyError as error:
        return error
    tunes = [melody for melody in found if len(notes(melody)) >= FEWEST_NOTES]
    return tunes or MelodyError(f"no melody in it has {FEWEST_NOTES} notes or more", "bare")


def settings() -> None:
    """What can be set, and is sensible without being touched."""
    st.number_input(
        say("tune"), 0, link.SEED_LIMIT - 1, None, 1, key="tune", placeholder=say("tune_any"), help=say("tune_help")
    )
    st.slider(say("rounds"), *link.ROUNDS, Recipe.rounds, key="rounds", help=say("rounds_help"))
    st.slider(
        say("temperature"), *link.TEMPERATURES, Recipe.temperature, 0.1, key="temperature", help=say("temperature_help")
    )
    models = {name: name for name in composer().models()} | {Recipe.model: say("model_default")}
    choose("model", models, help=say("model_help"))
    choose("recogniser", labels("recogniser", recognisers()), help=say("recogniser_help"), on_change=read_again)
    if len(devices := composer().devices()) > 1:
        choose("device", labels("device", devices))


def choose(key: str, names: Mapping[str, str], **options: Any) -> None:
    """A select box of that key for names and what they are called; the first is the usual one."""
    label = say(f"{key}_label")  # in place of an English one too, which is never seen, but heard
    st.selectbox(label, list(names), format_func=names.__getitem__, key=key, placeholder=label, **options)


def chosen(key: str, names: Sequence[Name]) -> Name:
    """What is chosen in the select box of that key; the first is the usual one.

    A click right after the language was switched may still come with the old language's word for the choice.
    """
    value = st.session_state.get(key)
    return next((name for name in names if name == value), names[0])


@st.cache_data(ttl=60, show_spinner=False)
def recognisers() -> list[str]:
    """The recognisers that can run on this machine."""
    from emotion import weights

    try:
        weights.verify(weights.weights_file())
    except emotion.RecogniserError:
        return ["embedded"]
    return ["embedded", "deepface"]


def read_again() -> None:
    """The picture that is there, by the other recogniser."""
    state = st.session_state
    if state.picture is not None and (problem := try_to_read(state.picture, state.reading[0].face)):
        state.problem = say(problem)


@st.fragment(run_every=0.25)
def watch() -> None:
    """Show the job's steps as they come, without running the rest of the page again; then take the piece over."""
    job: Job | None = st.session_state.job
    if job is None:
        return
    if job.done.is_set():
        take_over(job)
        st.rerun()
    steps = list(job.steps)
    if steps:
        said = say("stopping" if job.stopped else "round", number=steps[-1].number)
    elif job.started.is_set():
        said = say("drafting")
    else:
        ahead = composer().ahead(job)
        said = say("waiting", ahead=ahead) if ahead else say("preparing")
    st.progress(min(len(job.rounds) / (job.recipe.rounds + 1), 1.0), said)
    draw_roll("roll_now", steps[-1].tokens if steps else NO_NOTES, main_mood(job.recipe))
    st.button(
        say("stop" if job.started.is_set() else "cancel"),
        key="stop",
        icon=":material/stop_circle:",
        disabled=job.stopped,
        on_click=job.stop,
    )
    if steps:
        st.html(draw_curves(steps))


def take_over(job: Job) -> None:
    """Put a finished job's piece among the session's takes, or say that there is none."""
    state = st.session_state
    state.job = None
    if job.piece is not None:
        take = Take.of(job.recipe, job.piece, job.steps, job.stopped)
        state.shelf.put(take, Heard(), Sound(job.piece.export))
        state.takes.append(take)
        state.heard.append(state.next_heard)
        state.shown = len(state.takes) - 1
    elif job.error is not None:
        other = job.recipe.model != Recipe.model and isinstance(job.error, ValueError)
        state.problem = say("error_model", reason=job.error) if other else say("error_compose")


def main_mood(recipe: Recipe) -> str:
    """The mood that weighs most."""
    return max(recipe.moods, key=recipe.moods.__getitem__)


def draw_roll(
    key: str,
    tokens: Tokens,
    mood: str | None = None,
    chords: Sequence[str] = (),
    sound: Sound | None = None,
    take: int = 0,
    loop: bool = False,
) -> None:
    """A melody's piano roll, in a mood's colour. With a sound, a line on it follows the player, which goes on at the
    same place of the music where another sound of the same take comes into it."""
    # Our one component: nothing of Streamlit's draws a line over notes in time with its player.
    st.components.v2.component("maeum_roll", html='<svg role="img"></svg>', css=asset("roll.css"), js=asset("roll.js"))(
        key=key,
        data={
            "notes": notes(tokens).tolist(),
            "chords": list(chords),
            "seconds": 60 / sound.export.tempo / STEPS_PER_QUARTER if sound else 0,
            "label": say("roll_alt"),
            "colour": colour(mood) if mood else "",
            "player": f".st-key-{PLAYER}",
            "take": take,
            "sound": sound.mark if sound else 0,
            "loop": loop,
        },
    )


def draw_curves(trace: list[Round]) -> str:
    """Losses and realism over the steps, as HTML."""
    return plots.curves({say(f"curve_{name}"): [getattr(step, name) for step in trace] for name in CURVES})


# --- 3. The music ----------------------------------------------------------------------------------------------------


def show_music() -> None:
    """Step 3: the take on show with its player, how near it came, what to do next with it, and to take it away."""
    state = st.session_state
    if not state.takes:
        return
    st.header(say("step_music"), anchor=False)
    number: int = state.shown
    take: Take = state.takes[number]
    st.subheader(take_title(take.recipe), anchor=False)
    stage, row = st.container(), st.container(horizontal=True, vertical_alignment="center", gap="small")
    with row:
        heard, first = ask_how_to_hear(take, number)
    sound: Sound = state.shelf.sound(take, heard, first)
    try:
        with row, st.spinner(say("rendering"), width="content"):
            sound.render()
    except AudioError:
        log.exception("rendering failed")
        st.error(say("error_sound"), icon=":material/error:")
        return
    chords = [chord.name for chord in sound.export.chords]
    with stage:
        with st.container(key=PLAYER):
            st.audio(sound.flac, format="audio/flac", autoplay=True, alt=say("player_alt"))
        draw_roll("roll", sound.export.tokens, take.mood, chords, sound, number, state.get("loop", False))
    st.markdown(in_words(take, first, sound.export.tempo))
    ask_for_more(take, heard)
    take_away(take, heard, first, sound)
    with st.expander(say("details"), icon=":material/insights:", key="details", on_change="rerun") as unfolded:
        if unfolded.open:
            show_details(take, number, sound)
    if len(state.takes) > 1:
        label = say("history", count=len(state.takes))
        with st.expander(label, icon=":material/history:", key="history", on_change="rerun") as unfolded:
            if unfolded.open:
                show_history()


def show_details(take: Take, number: int, sound: Sound) -> None:
    """What re-training did, how near it came, and the chords, for those who want to know."""
    st.write(say("details_text", rounds=take.steps[-1].number))
    replay(take, number)
    st.markdown(table(take))
    key = sound.export.key
    named = say("key_major" if key.major else "key_minor", tonic=tonic_name(key))
    st.write(say("chords", key=named, chords=" | ".join(by_bar(sound.export.chords))))


@st.fragment
def replay(take: Take, number: int) -> None:
    """The melody as it was at each step of re-training."""
    st.html(draw_curves(take.steps))
    last = len(take.steps) - 1
    at = st.slider(say("replay"), 0, last, last, key=f"replay_{number}", help=say("replay_help"))
    step = take.steps[at]
    draw_roll("roll_then", step.tokens, take.mood)
    losses = {name: f"{getattr(step, name):.2f}" for name in CURVES}
    st.caption(say("replay_step", number=step.number, **losses))


def show_history() -> None:
    """The session's takes, the latest first, each with a player of its own and a way to bring it up again."""
    state = st.session_state
    for number in reversed(range(len(state.takes))):
        take: Take = state.takes[number]
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            st.markdown(f"{number + 1}. {take_title(take.recipe)}", width="content")
            shown = number == state.shown
            st.button(
                say("on_show" if shown else "show"),
                key=f"show_{number}",
                on_click=show_take,
                args=(number,),
                disabled=shown,
                icon=":material/arrow_upward:",
            )
        try:
            small = state.shelf.small(take, state.heard[number])
        except AudioError:
            log.exception("rendering failed")
            st.error(say("error_sound"), icon=":material/error:")
            continue
        st.audio(small, format="audio/mpeg", alt=say("history_alt", number=number + 1))


def show_take(number: int) -> None:
    """Bring a take up again."""
    st.session_state.shown = number


def ask_how_to_hear(take: Take, number: int) -> tuple[Heard, bool]:
    """Melody, chords or all of it, before or after re-training, loop, instrument, tempo."""
    state = st.session_state
    usual: Heard = state.heard[number]
    parts = switch("parts", number, get_args(Parts)[::-1], usual.parts)
    version = switch("version", number, ("before", "after"), "after")
    st.toggle(say("loop"), key="loop")
    with st.popover(say("playing"), icon=":material/piano:", key="playing_popover"):
        leads = {"": say("lead_usual")} | labels("lead", take.plain.leads)
        lead = st.selectbox(
            say("lead"),
            list(leads),
            index=list(leads).index(usual.lead) if usual.lead in leads else 0,
            format_func=leads.__getitem__,
            key=f"lead_{number}",
            placeholder=say("lead"),
            persist_state="session",
        )
        own_tempo = round(take.targets.tempo)
        tempo = st.slider(
            say("tempo"), *link.TEMPOS, usual.tempo or own_tempo, key=f"tempo_{number}", persist_state="session"
        )
    return Heard(None if tempo == own_tempo else tempo, lead or None, parts), version == "before"


def switch(kind: str, number: int, names: Sequence[str], usual: str) -> Any:
    """One of a few ways to hear a take, each take's own."""
    return st.segmented_control(
        say(f"{kind}_label"),
        names,
        format_func=labels(kind, names).__getitem__,
        default=usual,
        key=f"{kind}_{number}",
        required=True,
        label_visibility="collapsed",
        persist_state="session",
    )


def in_words(take: Take, first: bool, tempo: float) -> str:
    """What was asked for and what came, in plain words, a line each."""
    wanted, got = take.targets, take.before if first else take.reached
    higher = round(got.pitch - wanted.pitch)
    pitch = "as_asked" if not higher else "higher" if higher > 0 else "lower"
    lines = {
        say("words_density", wanted=f"{wanted.density:.1f}", got=f"{got.density:.1f}"):
            abs(wanted.density - got.density) < 0.5,
        say(f"words_pitch_{pitch}", note=pitch_name(got.pitch), count=abs(higher)): not higher,
        say("words_mode" if wanted.major == got.major else "words_other_mode",
            wanted=mode_name(wanted.major), got=mode_name(got.major)): wanted.major == got.major,
        say("words_tempo", tempo=round(tempo)): True,
    }  # fmt: skip
    return "  \n".join(f"{'✓' if met else '→'} {line}" for line, met in lines.items())


def table(take: Take) -> str:
    """A table, in Markdown, of what was asked for, what the first draft had, and what was reached."""
    wanted, before, after = take.targets, take.before, take.reached
    rows = [
        ("density", *(f"{each.density:.1f}" for each in (wanted, before, after))),
        ("pitch", *(pitch_name(each.pitch) for each in (wanted, before, after))),
        ("mode", *(mode_name(each.major) for each in (wanted, before, after))),
        ("chord_tones", "–", *(f"{each.chord_tones:.0%}" for each in (before, after))),
    ]
    names = [say(f"measure_{name}") for name in ("name", "wanted", "before", "after")]
    lines = [names, ["---", "---:", "---:", "---:"], *([say(f"measure_{name}"), *values] for name, *values in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def mode_name(major: bool) -> str:
    """Major or minor, in the visitor's language."""
    return say("mode_major") if major else say("mode_minor")


def pitch_name(pitch: float) -> str:
    """The note nearest to a MIDI pitch, as musicians write it: 60 is C4."""
    octave, tone = divmod(round(pitch), 12)
    return f"{PITCH_NAMES[tone]}{octave - 1}"


def ask_for_more(take: Take, heard: Heard) -> None:
    """Another tune of the same mood, or this one again, but different."""
    busy = st.session_state.job is not None
    with st.container(horizontal=True, gap="small"):
        st.button(say("again"), on_click=start_anew, args=(take, heard), disabled=busy, icon=":material/refresh:")
        for change, icon in CHANGES.items():
            st.button(
                say(f"again_{change}"),
                on_click=start_again,
                args=(take, heard, change),
                disabled=busy,
                icon=f":material/{icon}:",
            )


def start_anew(take: Take, heard: Heard) -> None:
    """Another tune for the same moods, or from the same melody, played alike."""
    start(replace(take.recipe, seed=any_tune()), heard)


def start_again(take: Take, heard: Heard, change: Change) -> None:
    """The same tune, changed. Its tempo is part of the change."""
    start(take.again(change, any_tune()), replace(heard, tempo=None))


def take_away(take: Take, heard: Heard, first: bool, sound: Sound) -> None:
    """Downloads of what is heard, and the link, which is the page's address too."""
    query = link.to_query(take.recipe, heard)
    if st.query_params.to_dict() != query:
        st.query_params.from_dict(query)
    name = sound.export.title.file + ("-before" if first else "")
    with st.container(horizontal=True, gap="small"):
        with st.popover(say("download"), icon=":material/download:", key="download_popover"):
            for kind, mime in DOWNLOADS.items():
                # Made when asked for.
                data, label = partial(sound.export.file, kind), say(f"download_{kind.split('.')[0]}")
                st.download_button(label, data, f"{name}.{kind}", mime, on_click="ignore", width="stretch", key=kind)
        with st.popover(say("link"), icon=":material/link:", key="link_popover"):
            st.write(say("link_text"))
            page = (st.context.url or "").split("?")[0].rstrip("/")
            st.code(f"{page}/?{urlencode(query, safe=':,')}", language=None, wrap_lines=True)


# --- The page --------------------------------------------------------------------------------------------------------


@st.cache_resource(show_spinner=False)
def asset(name: str) -> str:
    """A text file in assets/."""
    return (ASSETS / name).read_text(encoding="utf-8")


@st.dialog("Maeum 마음", width="medium")
def about() -> None:
    """What this is, how it works, what becomes of a picture, what it cannot do, and licences."""
    st.markdown(say("about_text"))


# What assets/page.css says, and its colours.
WORDS = ("upload", "shoot", "skip", "error_refused")
LIGHT = {"caption": "#58615f", "on-primary": "white"}
DARK = {"caption": "#adb7b4", "on-primary": "#14191b"}


def dress() -> None:
    """The page's own look, and what a screen reader says, in the visitor's language."""
    words = {key: say(key) for key in WORDS}
    quoted = {key: json.dumps(text, ensure_ascii=False) for key, text in words.items()}
    variables = "".join(f"--{name}: {value};" for name, value in (quoted | (DARK if dark() else LIGHT)).items())
    spoken = [[text[each] for each in LANGUAGES] for key, text in texts().items() if key.startswith("spoken_")]
    here = json.dumps([spoken, LANGUAGES.index(language()), words, language()], ensure_ascii=False)
    st.html(
        f"<style>:root {{ {variables} }} {asset('page.css')}</style>"
        f"<script>((pairs, place, words, language) => {{ {asset('page.js')} }})(...{here});</script>",
        unsafe_allow_javascript=True,
    )


def dark() -> bool:
    """Whether the visitor's theme is the dark one."""
    return st.context.theme.type == "dark"


@st.cache_resource(show_spinner=False)
def colours() -> dict[str, dict[str, str]]:
    """Each mood's colour on the light and on the dark theme."""
    return tomllib.loads(asset("colours.toml"))


def colour(mood: str) -> str:
    """A mood's colour on the visitor's theme."""
    return colours()[mood]["dark" if dark() else "light"]


def ink() -> str:
    """The theme's text colour, for charts: Streamlit writes in them too palely for WCAG AA."""
    return "#e9edeb" if dark() else "#26302f"


def main() -> None:
    st.set_page_config(page_title="Maeum 마음", page_icon=str(ASSETS / "icon.svg"), layout="centered")
    begin_session()
    composer()
    dress()
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.title("Maeum 마음", anchor=False, width="content")
        st.segmented_control(
            say("language_label"),
            LANGUAGES,
            format_func=texts()["language_name"].__getitem__,
            default=st.session_state.first_language,
            key="language",
            required=True,
            label_visibility="collapsed",
        )
    st.markdown(say("tagline"))
    # Each step in a block of its own: what comes and goes in one leaves the others where they are, the player included.
    with st.container():
        weights = choose_mood()
    with st.container():
        ask_to_compose(weights)
    with st.container():
        if st.session_state.job is not None:
            watch()
    with st.container():
        show_music()
    st.button(say("about"), type="tertiary", icon=":material/info:", on_click=about)


if __name__ == "__main__":
    main()
