// What Streamlit says to a screen reader, in the visitor's language: Streamlit says it in English alone.
//
// The body of a function. pairs: [["{name} 빼기", "Remove {name}"], ...], labels that Streamlit gives, each in every
// language; place: which of these is the visitor's; words: those that page.css shows; language: its code.
const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
const pattern = (text) => new RegExp(`^${text.split("{name}").map(escaped).join("(.+)")}$`);
const known = pairs.map((pair) => ({ patterns: pair.map(pattern), said: pair[place] }));
const shown = [
  ['[data-testid="stFileUploaderDropzone"] [data-testid="stBaseButton-secondary"]', words.upload],
  ['[data-testid="stCameraInputButton"]', words.shoot],
  ['[data-testid="stSkipToContent"]', words.skip],
];

function label(element, text) {
  if (element.getAttribute("aria-label") !== text) element.setAttribute("aria-label", text);
}

function translate(element) {
  for (const { patterns, said } of known) {
    const match = patterns.map((each) => each.exec(element.getAttribute("aria-label"))).find(Boolean);
    if (match) return label(element, said.replace("{name}", () => match[1]));
  }
}

function translateAll() {
  document.querySelectorAll("[aria-label]").forEach(translate);
  for (const [selector, text] of shown) document.querySelectorAll(selector).forEach((element) => label(element, text));
}

window.maeumLabels?.disconnect(); // those of the language before
window.maeumLabels = new MutationObserver(translateAll);
window.maeumLabels.observe(document.body, {
  subtree: true, childList: true, attributes: true, attributeFilter: ["aria-label"],
});
document.documentElement.lang = language;
translateAll();
