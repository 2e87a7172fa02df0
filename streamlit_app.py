"""The page: a mood or a face in, sixteen bars of music out, in Korean and in English.

Three steps from top to bottom: the mood, composing, the music. All that a visitor made lives in their session's state,
so that no click on anything loses it. The page only shows and asks: what a face or a melody means is worked out in
`emotion` and `generator`, and a piece is composed by a worker beside the page (`generator.jobs`).
"""

from __future__ import annotations

import logging
import secrets
import tomllib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

import emotion
from emotion.mood import among_moods, moods_at
from generator import plots
from generator.jobs import BusyError, Composer, Job
from generator.key import PITCH_NAMES
from generator.melody import STEPS_PER_QUARTER, Tokens, notes

if TYPE_CHECKING:
    from generator.actor_critic import Round
    from generator.compose import Piece

LANGUAGES = ("ko", "en")
ASSETS = Path(__file__).parent / "assets"
TEXTS: dict[str, dict[str, str]] = tomllib.loads((ASSETS / "texts.toml").read_text(encoding="utf-8"))
ROLL_HTML = '<svg role="img"></svg>'
ROLL_CSS, ROLL_JS = ((ASSETS / f"roll.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
PLAYER = "player"  # The key of the block with the player, and so a part of its CSS class.
PHOTO_TYPES = ["jpg", "jpeg", "png", "webp", "heic", "heif", "avif", "gif", "bmp"]
DOWNLOADS = {
    "mid": "audio/midi",
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "musicxml": "application/vnd.recordare.musicxml+xml",
    "stems.zip": "application/zip",
}
SEED_LIMIT = 1_000_000
TAKES_KEPT = 20  # Of some 6 MB of sound each.

log = logging.getLogger(__name__)


# --- Words -----------------------------------------------------------------------------------------------------------


def language() -> str:
    """The visitor's language: what they chose, or before that what their browser asks for."""
    chosen: str = st.session_state.get("language") or st.session_state.first_language
    return chosen


def say(key: str, **values: object) -> str:
    """The text of that key in the visitor's language, with its {names} filled in."""
    return TEXTS[key][language()].format(**values)


def mood_name(name: str) -> str:
    """A category's name in the visitor's language."""
    return emotion.category(name).korean if language() == "ko" else name.capitalize()


def mood_mix(weights: Mapping[str, float]) -> str:
    """The moods of a mix, the strongest first: 'Peaceful', or 'Peaceful 70 % · Clear 30 %'."""
    ranked = sorted(weights.items(), key=lambda item: -item[1])
    if len(ranked) == 1:
        return mood_name(ranked[0][0])
    return " · ".join(f"{mood_name(name)} {weight:.0%}" for name, weight in ranked[:3])


# --- What a session keeps --------------------------------------------------------------------------------------------


def first_language() -> str:
    """Korean for a browser that asks for Korean, English for every other."""
    return "ko" if (st.context.locale or "").lower().startswith("ko") else "en"


def begin_session() -> None:
    """Fill in what a new visitor's session keeps. The link's mood and number are taken over once, here.

    What a widget begins with is given to the widget, not written into the session's state under the widget's key: a
    click during the first run would let the browser fall back to the widget's own default.
    """
    state = st.session_state
    if "takes" in state:
        return
    state.first_language = first_language()
    state.first_mood = "peaceful"
    state.seed = secrets.randbelow(SEED_LIMIT)
    state.seeds = 0
    state.picture = None
    state.pictures = 0
    state.taps = {}
    state.reading = None
    state.takes = []
    state.shown = 0
    state.job = None
    state.problem = None
    state.weights = {}
    if "mood" in st.query_params:
        open_link(st.query_params["mood"], st.query_params.get("seed", ""))


def open_link(mood: str, seed: str) -> None:
    """Take moods and tune number from the page's address and start on that piece, or say that they make no sense."""
    try:
        weights, number = read_mix(mood), int(seed)
        if not 0 <= number < SEED_LIMIT:
            raise ValueError(f"tune number 0 to {SEED_LIMIT - 1} expected, got {number}")
    except ValueError as error:
        log.info("link refused: %s", error)
        st.session_state.problem = "error_link"
        return
    st.session_state.seed = number
    if len(weights) == 1:
        st.session_state.first_mood = next(iter(weights))
    start(weights)


def write_mix(weights: Mapping[str, float]) -> str:
    """A mix of moods as it stands in a link, in whole per cent: 'peaceful:70,clear:30'."""
    return ",".join(f"{name}:{weight:.0%}".rstrip("%") for name, weight in weights.items() if round(weight, 2) > 0)


def read_mix(text: str) -> dict[str, float]:
    """The mix of moods in a link; a name alone stands for itself. Raises ValueError where it is none."""
    weights: dict[str, float] = {}
    for part in text[:300].split(","):
        name, _, share = part.partition(":")
        if not 0 < (per_cent := int(share or 100)) <= 100:
            raise ValueError(f"a share of 1 to 100 per cent expected, got {per_cent}")
        weights[emotion.category(name).name] = per_cent / 100
    return weights


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
        return pick("picked", say("pick_label"), st.session_state.first_mood)
    st.info(say("privacy"), icon=":material/lock:")
    if st.session_state.picture is None:
        ask_for_picture(source)
    return show_reading() if st.session_state.picture is not None else None


def pick(key: str, label: str, first: str | None = None, here: plots.Place | None = None) -> dict[str, float] | None:
    """The nine moods as buttons, and as a map where a tap between them mixes them.

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
        (say("valence_axis"), say("arousal_axis")),
        ink="#e9edeb" if st.context.theme.type == "dark" else "#26302f",
    )
    st.caption(say("plane_hint"))
    st.altair_chart(chart, key=f"{key}_map", on_select=lambda: tap(key), alt=say("plane_alt"))
    if name:
        return {name: 1.0}
    return emotion.strongest(moods_at(place)) if place else None


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
            reading = emotion.read(picture, face)
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
        st.image(shown, caption=say("reading_caption"))
        st.button(say("forget"), on_click=forget_picture, icon=":material/delete:", width="stretch")
    with right:
        st.markdown(f"**{say('expressions_heading')}**")
        expressions = {say(f"expression_{name}"): share for name, share in reading.expressions.items()}
        st.altair_chart(plots.shares(expressions))
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
    return pick(f"corrected_{state.pictures}", say("correct_label"), here=here) or moods


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


def start(weights: Mapping[str, float]) -> None:
    """Put a piece for these moods and the chosen number in the line. Whatever waits there for this visitor goes on."""
    from generator.compose import Request

    state = st.session_state
    if state.job is not None:
        return
    # As in the link, in whole per cent, so that the link gives the very same piece.
    state.weights = read_mix(write_mix(weights))
    try:
        state.job = composer().submit(Request.for_moods(state.weights, tune_number()))
    except BusyError:
        state.problem = "error_busy"


def tune_number() -> int:
    """The number that stands in its field, or will."""
    number: int = st.session_state.get(f"seed_{st.session_state.seeds}", st.session_state.seed)
    return number


def start_next(weights: Mapping[str, float]) -> None:
    """The same moods with the next tune number."""
    state = st.session_state
    state.seed = (tune_number() + 1) % SEED_LIMIT
    state.seeds += 1
    start(weights)


def ask_to_compose(weights: dict[str, float] | None) -> None:
    """Step 2: what will be composed, its number, and the button."""
    st.header(say("step_compose"), anchor=False)
    if weights is None:
        st.write(say("mood_missing"))
    else:
        st.markdown(say("composing_for", mood=f"**{mood_mix(weights)}**"))
    left, right = st.columns([1, 2], vertical_alignment="bottom")
    left.number_input(
        say("seed_label"),
        min_value=0,
        max_value=SEED_LIMIT - 1,
        value=st.session_state.seed,
        step=1,
        key=f"seed_{st.session_state.seeds}",
        help=say("seed_help"),
    )
    right.button(
        say("compose"),
        type="primary",
        icon=":material/music_note:",
        width="stretch",
        disabled=weights is None or st.session_state.job is not None,
        on_click=start,
        args=(weights or {},),
    )
    if st.session_state.problem:
        st.error(say(st.session_state.problem), icon=":material/error:")
        st.session_state.problem = None


@st.fragment(run_every=0.5)
def watch() -> None:
    """Show the job's rounds as they come, without running the rest of the page again; then take the piece over."""
    job: Job | None = st.session_state.job
    if job is None:
        return
    if job.done.is_set():
        take_over(job)
        st.rerun()
    rounds = list(job.rounds)
    if not rounds:
        ahead = composer().ahead(job)
        st.progress(0.0, say("waiting", ahead=ahead) if ahead else say("preparing"))
        return
    st.progress(min(len(rounds) / job.request.rounds, 1.0), say("round", number=rounds[-1].number))
    draw_roll("roll_now", rounds[-1].tokens)
    st.html(draw_curves(rounds))


def take_over(job: Job) -> None:
    """Put a finished job's piece among the session's takes, or say that there is none."""
    state = st.session_state
    state.job = None
    if job.piece is None:
        state.problem = "error_compose"
        return
    state.takes = [*state.takes, (job.piece, state.weights, job.request.seed)][-TAKES_KEPT:]
    state.shown = len(state.takes) - 1
    st.query_params.from_dict({"mood": write_mix(state.weights), "seed": str(job.request.seed)})


def draw_roll(key: str, tokens: Tokens, chords: Sequence[str] = (), tempo: float | None = None) -> None:
    """A melody's piano roll; with a tempo, a line on it follows the player in the block of that name."""
    # Our one component: nothing of Streamlit's draws a line over notes in time with its player.
    roll = st.components.v2.component("maeum_roll", html=ROLL_HTML, css=ROLL_CSS, js=ROLL_JS)
    roll(
        key=key,
        data={
            "notes": notes(tokens).tolist(),
            "chords": list(chords),
            "seconds": 60 / tempo / STEPS_PER_QUARTER if tempo else 0,
            "label": say("roll_alt"),
            "player": f".st-key-{PLAYER}",
        },
    )


def draw_curves(trace: list[Round]) -> str:
    """Losses and realism over the rounds, as HTML."""
    names = ("pitch_loss", "density_loss", "realism")
    return plots.curves({say(f"curve_{name}"): [getattr(step, name) for step in trace] for name in names})


# --- 3. The music ----------------------------------------------------------------------------------------------------


def show_music() -> None:
    """Step 3: the take on show, with its player, its notes, how near it came, downloads, and what to do next."""
    state = st.session_state
    if not state.takes:
        return
    st.header(say("step_music"), anchor=False)
    piece, weights, seed = state.takes[min(state.shown, len(state.takes) - 1)]
    st.subheader(take_title(weights, seed), anchor=False)
    with st.container(key=PLAYER):
        st.audio(piece.wav, format="audio/wav", autoplay=True)
    draw_roll("roll", piece.tokens, piece.chords, piece.tempo)
    st.button(
        say("again"),
        on_click=start_next,
        args=(weights,),
        disabled=state.job is not None,
        icon=":material/refresh:",
    )
    with st.container(horizontal=True):
        for kind, mime in DOWNLOADS.items():
            # Made when asked for, all but the two that are there already.
            data = {"mid": piece.midi, "wav": piece.wav}.get(kind) or partial(piece.export.file, kind)
            label, file = say(f"download_{kind.split('.')[0]}"), f"{piece.name}.{kind}"
            st.download_button(label, data, file, mime, on_click="ignore", icon=":material/download:")
    st.markdown(f"**{say('measure_heading')}**")
    st.markdown(measures(piece))
    with st.expander(say("details")):
        st.write(say("details_text", rounds=len(piece.trace)))
        st.html(draw_curves(piece.trace))
    st.caption(say("link"))
    st.code(link(weights, seed), language=None, wrap_lines=True)
    if len(state.takes) > 1:
        titles = [f"{number}. {take_title(*take[1:])}" for number, take in enumerate(state.takes, 1)]
        st.selectbox(say("history"), range(len(titles)), format_func=titles.__getitem__, key="shown")


def take_title(weights: Mapping[str, float], seed: int) -> str:
    """What a take is called: its moods and its number."""
    return say("take_title", mood=mood_mix(weights), seed=seed)


def measures(piece: Piece) -> str:
    """A table, in Markdown, of what was wanted and what was reached."""
    wanted, reached = piece.targets, piece.reached
    rows = [
        ("density", f"{wanted.density:.1f}", f"{reached.density:.1f}"),
        ("pitch", pitch_name(wanted.pitch), pitch_name(reached.pitch)),
        ("mode", mode_name(wanted.major), mode_name(reached.major)),
        ("tempo", f"{wanted.tempo:.0f}", f"{piece.tempo:.0f}"),
        ("chord_tones", "–", f"{reached.chord_tones:.0%}"),
    ]
    head = f"| {say('measure_name')} | {say('measure_wanted')} | {say('measure_reached')} |\n|---|---:|---:|\n"
    return head + "".join(f"| {say('measure_' + name)} | {want} | {got} |\n" for name, want, got in rows)


def mode_name(major: bool) -> str:
    """Major or minor, in the visitor's language."""
    return say("mode_major") if major else say("mode_minor")


def pitch_name(pitch: float) -> str:
    """The note nearest to a MIDI pitch, as musicians write it: 60 is C4."""
    octave, tone = divmod(round(pitch), 12)
    return f"{PITCH_NAMES[tone]}{octave - 1}"


def link(weights: Mapping[str, float], seed: int) -> str:
    """The address that gives this very piece."""
    return f"{(st.context.url or '').split('?')[0]}?mood={write_mix(weights)}&seed={seed}"


# --- The page --------------------------------------------------------------------------------------------------------


# The charts' own buttons would lie over what stands above them; Streamlit's captions, and white on the dark theme's
# light primary colour, have too little contrast for WCAG AA.
CSS = """<style>
[data-testid="stElementToolbar"] { display: none; }
[data-testid="stCaptionContainer"], [data-testid="stCaptionContainer"] * { color: %s; opacity: 1; }
%s
</style>"""
LIGHT_CSS = CSS % ("#58615f", "")
DARK_CSS = CSS % ("#adb7b4", '[data-testid="stBaseButton-primary"]:enabled * { color: #14191b; }')


def main() -> None:
    st.set_page_config(page_title="Maeum 마음", page_icon=str(ASSETS / "icon.svg"), layout="centered")
    begin_session()
    composer()
    st.html(DARK_CSS if st.context.theme.type == "dark" else LIGHT_CSS)
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.title("Maeum 마음", anchor=False, width="content")
        st.segmented_control(
            say("language_label"),
            LANGUAGES,
            format_func=TEXTS["language_name"].__getitem__,
            default=st.session_state.first_language,
            key="language",
            required=True,
            label_visibility="collapsed",
        )
    st.markdown(say("tagline"))
    weights = choose_mood()
    ask_to_compose(weights)
    if st.session_state.job is not None:
        watch()
    show_music()
    with st.expander(say("about")):
        st.markdown(say("about_text"))


if __name__ == "__main__":
    main()
