// What is unfolded may scroll: the theme gives such a box a tab stop when the window changes, so it is told that it did.
const unfolded = () => window.dispatchEvent(new Event("resize"));
document.addEventListener("toggle", unfolded, true);
document.addEventListener("click", (event) => event.target.closest(".toggle-button, .toggle") && unfolded());
// One switch folds all code, or unfolds it, and is remembered; a browser may refuse to remember.
const kept = (value) => { try { return value === undefined ? localStorage.getItem("code") : localStorage.setItem("code", value); } catch { return null; } };
const setCode = (shown) => {
    document.querySelectorAll("details.hide").forEach((fold) => { fold.open = shown; });
    document.querySelector(".btn-code-button")?.setAttribute("aria-pressed", shown);
};
window.switchCode = () => {
    const shown = kept() !== "shown" || !document.querySelector("details.hide[open]");
    kept(shown ? "shown" : "folded");
    setCode(shown);
};
document.addEventListener("DOMContentLoaded", () => document.querySelector("details.hide") && setCode(kept() === "shown"));
// A page with a curve that can be moved gets the script that moves it.
const curves = new URL("explorer/curves.js", document.currentScript.src);
document.addEventListener("DOMContentLoaded", () => {
    if (document.querySelector(".act-movable")) document.head.append(Object.assign(document.createElement("script"), { src: curves }));
});
