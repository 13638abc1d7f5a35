// What is unfolded may scroll: the theme gives such a box a tab stop when the window changes, so it is told that it did.
const unfolded = () => window.dispatchEvent(new Event("resize"));
document.addEventListener("toggle", unfolded, true);
document.addEventListener("click", (event) => event.target.closest(".toggle-button, .toggle") && unfolded());
// A page with a curve that can be moved gets the script that moves it.
const curves = new URL("explorer/curves.js", document.currentScript.src);
document.addEventListener("DOMContentLoaded", () => {
    if (document.querySelector(".act-movable")) document.head.append(Object.assign(document.createElement("script"), { src: curves }));
});
