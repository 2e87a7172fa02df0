// Streamlit's labels for screen readers, in the visitor's language: Streamlit has them in English alone.
//
// The body of a function. pairs: [["{name} 빼기", "Remove {name}"], ...], each in every language; place: which of these
// is the visitor's; language: its code.
const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
const pattern = (text) => new RegExp(`^${text.split("{name}").map(escaped).join("(.+)")}$`);
const known = pairs.map((pair) => ({ patterns: pair.map(pattern), words: pair[place] }));

function translate(element) {
  const label = element.getAttribute("aria-label");
  for (const { patterns, words } of known) {
    const match = patterns.map((each) => each.exec(label)).find(Boolean);
    const said = match && words.replace("{name}", () => match[1]);
    if (said && said !== label) element.setAttribute("aria-label", said);
    if (said) return;
  }
}

const translateAll = () => document.querySelectorAll("[aria-label]").forEach(translate);
window.maeumLabels?.disconnect(); // those of the language before
window.maeumLabels = new MutationObserver(translateAll);
window.maeumLabels.observe(document.body, {
  subtree: true, childList: true, attributes: true, attributeFilter: ["aria-label"],
});
document.documentElement.lang = language;
translateAll();
