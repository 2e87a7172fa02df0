// The piano roll of the page: notes over 16 bars, chords above, and a line that follows the player beside it.
//
// Streamlit's own player plays the sound; nothing of Streamlit draws a line over notes in time with it, hence this.
// data: notes [[pitch, first step, step after the last], ...] in sixteenths; chords, one or two a bar; seconds: of one step,
// or 0 where nothing plays; label: what a screen reader says; colour: of the notes, or "" for the theme's; player: CSS
// selector of the block with the player; take: number of the piece; sound: number of what is played, another one for
// another tempo, instrument, part or version; loop: whether it begins again at its end.
const STEPS = 256, BAR = 16, CHORDS = 44, BOTTOM = 22, HIGHEST_ROW = 9, HEIGHT = 236, CHORD_ROWS = [15, 32];
const SVG = "http://www.w3.org/2000/svg";

function add(parent, name, attributes, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  parent.appendChild(element);
  return element;
}

const across = (step) => `${(100 * step) / STEPS}%`;

function draw(svg, data) {
  const pitches = data.notes.map((note) => note[0]);
  const low = pitches.length ? Math.min(...pitches) - 1 : 60;
  const high = pitches.length ? Math.max(...pitches) + 1 : 72;
  const top = data.chords.length ? CHORDS : 4;
  const row = Math.min(HIGHEST_ROW, (HEIGHT - top - BOTTOM) / (high - low + 1));
  const floor = HEIGHT - BOTTOM;
  const y = (pitch) => floor - (pitch - low + 1) * row;
  for (let pitch = low; pitch <= high; pitch++) {
    if (pitch % 12 !== 0) continue;
    add(svg, "line", { class: "octave", x1: 0, x2: "100%", y1: y(pitch) + row / 2, y2: y(pitch) + row / 2 });
    add(svg, "text", { class: "small octave-name", x: -4, y: y(pitch) + row / 2 + 4 }, `C${pitch / 12 - 1}`);
  }
  for (let bar = 0; bar <= 16; bar++) {
    const phrase = bar % 4 === 0;
    add(svg, "line", { class: phrase ? "bar phrase" : "bar", x1: across(bar * BAR), x2: across(bar * BAR), y1: top - 4, y2: floor });
    if (phrase && bar < 16) add(svg, "text", { class: "small", x: across(bar * BAR + 1), y: HEIGHT - 6 }, bar + 1);
  }
  // A chord that goes on is not named again. Names take the first row with room for them; where there is none, as on a
  // phone, one is left out: all of them stand in the details.
  const ends = CHORD_ROWS.map(() => 0);
  data.chords.forEach((chord, place) => {
    if (place && chord === data.chords[place - 1]) return;
    const from = (place / data.chords.length) * svg.clientWidth;
    const row = ends.findIndex((end) => end <= from);
    if (row < 0) return;
    const name = add(svg, "text", { class: "chord", x: `${(100 * place) / data.chords.length}%`, dx: 2, y: CHORD_ROWS[row] }, chord);
    ends[row] = from + name.getComputedTextLength() + 6;
  });
  return data.notes.map(([pitch, start, end]) => {
    const note = add(svg, "rect", {
      class: "note", x: across(start), y: y(pitch), width: across(Math.max(end - start - 0.3, 0.7)), height: Math.max(row - 1, 3), rx: 2,
    });
    return { note, start, end };
  });
}

// Bring the roll, and with it what stands just above, into a view that it is out of: on a phone it is drawn below the fold.
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const reveal = (svg) => svg.scrollIntoView({ block: "nearest", behavior: calm.matches ? "auto" : "smooth" });

// Player and data change each at its own time. Every sound has an address of its own, so whether the two belong together
// is learnt by a sound's first address; should that ever be the wrong one, they are taken for each other after a while.
const PATIENCE = 3000; // ms

function agree(held, source, data) {
  const known = held.sources.get(data.sound);
  const taken = [...held.sources].find(([sound, address]) => address === source && sound !== data.sound);
  const fits = known === undefined ? !taken : known === source;
  if (fits) held.apart = null;
  else held.apart ??= performance.now();
  if (!fits && performance.now() - held.apart < PATIENCE) return false;
  if (taken) held.sources.delete(taken[0]);
  held.sources.set(data.sound, source);
  return true;
}

// Let the music go on where it was, when the page has put another player, or another sound, in the place of the last.
// Streamlit's player goes to its start once it knows its length; what it does so shortly after is undone.
const SETTLES = 500; // ms

function join(svg, held, audio, data) {
  held.goal = null;
  // The page may say which take comes while the player, put in anew, still has the last one's sound.
  const same = held.take === data.take || held.source === audio.currentSrc;
  if (same) {
    if (held.step > 0 && held.step < STEPS) held.goal = { time: held.step * data.seconds, until: performance.now() + SETTLES };
    if (!held.playing) audio.pause();
  } else {
    reveal(svg);
    held.begins = true; // by itself, where the browser allows that; until it does, it is not paused
    audio.play().catch(() => {}); // Streamlit begins a sound by itself only once
  }
  Object.assign(held, { audio, source: audio.currentSrc, take: same ? held.take : data.take });
}

// One player at a time: what is played first falls silent when another one begins.
document.addEventListener("play", (event) => {
  for (const other of document.querySelectorAll("audio")) if (other !== event.target) other.pause();
}, true);

export default function ({ data, parentElement }) {
  const svg = parentElement.querySelector("svg");
  svg.replaceChildren();
  svg.setAttribute("aria-label", data.label);
  svg.style.setProperty("--note", data.colour);
  const notes = draw(svg, data);
  if (!data.seconds) {
    if (!svg.held) reveal(svg);
    svg.held = true;
    return;
  }

  const held = (svg.held ??= { step: 0, playing: true, sources: new Map() }); // it outlives this call
  const line = add(svg, "line", { class: "now", x1: 0, x2: 0, y1: CHORDS - 4, y2: HEIGHT - BOTTOM });
  const player = () => document.querySelector(`${data.player} audio`);
  let frame = 0;
  const show = (step) => {
    const shown = across(calm.matches ? Math.floor(step / BAR) * BAR : step);
    if (line.getAttribute("x1") === shown) return;
    line.setAttribute("x1", shown);
    line.setAttribute("x2", shown);
    for (const { note, start, end } of notes) note.classList.toggle("sounding", !calm.matches && start <= step && step < end);
  };
  const follow = () => {
    frame = requestAnimationFrame(follow);
    const audio = player();
    if (audio && audio.readyState >= HTMLMediaElement.HAVE_METADATA && agree(held, audio.currentSrc, data)) {
      if (audio !== held.audio || audio.currentSrc !== held.source) join(svg, held, audio, data);
      audio.loop = data.loop;
      if (held.goal && audio.currentTime < held.goal.time) audio.currentTime = held.goal.time;
      if (held.goal && performance.now() > held.goal.until) held.goal = null;
      held.step = Math.min(audio.currentTime / data.seconds, STEPS);
      held.begins &&= audio.paused;
      held.playing = held.begins || !audio.paused;
    }
    show(held.step);
  };
  const seek = (event) => {
    const audio = player();
    const box = svg.getBoundingClientRect();
    if (audio) audio.currentTime = ((event.clientX - box.left) / box.width) * STEPS * data.seconds;
  };
  svg.classList.add("seeks");
  svg.addEventListener("click", seek);
  follow();
  return () => {
    cancelAnimationFrame(frame);
    svg.removeEventListener("click", seek);
  };
}
