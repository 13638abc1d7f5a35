// What is unfolded may scroll: the theme gives such a box a tab stop when the window changes, so it is told that it did.
const unfolded = () => window.dispatchEvent(new Event("resize"));
document.addEventListener("toggle", unfolded, true);
document.addEventListener("click", (event) => event.target.closest(".toggle-button, .toggle") && unfolded());
