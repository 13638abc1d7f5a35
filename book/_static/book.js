const here = document.currentScript.src;
const load = (path) => new Promise((resolve) => document.head.append(Object.assign(document.createElement("script"), { src: new URL(path, here), onload: resolve })));
const dress = (path) => new Promise((resolve) => document.head.append(Object.assign(document.createElement("link"), { rel: "stylesheet", href: new URL(path, here), onload: resolve })));
const all = (selector) => [...document.querySelectorAll(selector)];

// What is unfolded may scroll: the theme gives such a box a tab stop when the window changes, so it is told that it did.
const unfolded = () => window.dispatchEvent(new Event("resize"));
document.addEventListener("toggle", unfolded, true);
document.addEventListener("click", (event) => event.target.closest(".toggle-button, .toggle") && unfolded());

// A box that scrolls is a tab stop, and fades at the edge behind which there is more.
const BOXES = ".act-scroll, article pre, article .math, mjx-container[display], .pst-scrollable-table-container";
const measure = (box) => {
    const rest = box.scrollWidth - box.clientWidth;
    box.classList.toggle("act-more", rest > 1 && box.scrollLeft < rest - 1);
    box.classList.toggle("act-less", rest > 1 && box.scrollLeft > 1);
    if (box.matches(".act-scroll")) rest > 1 ? box.tabIndex = 0 : box.removeAttribute("tabindex");
};
const measureAll = () => all(BOXES).forEach(measure);
document.addEventListener("scroll", (event) => event.target.matches?.(BOXES) && measure(event.target), { capture: true, passive: true });
let resized, stacking;
window.addEventListener("resize", () => { cancelAnimationFrame(resized); resized = requestAnimationFrame(measureAll); });
window.addEventListener("load", async () => {
    const narrow = matchMedia("(max-width: 600px)");
    const stack = () => narrow.matches && (stacking ??= load("panels.js"));
    narrow.addEventListener("change", stack);
    stack();
    measureAll();
    all(".headerlink, .copybtn").forEach((link) => { link.tabIndex = -1; }); // for the pointer
    await window.MathJax?.startup?.promise;
    measureAll();
});

// One switch folds all code, or unfolds it, and is remembered; a browser may refuse to remember.
const kept = (value) => { try { return value === undefined ? localStorage.getItem("code") : localStorage.setItem("code", value); } catch { return null; } };
const setCode = (shown) => {
    all("details.hide").forEach((fold) => { fold.open = shown; });
    document.querySelector(".btn-code-button")?.setAttribute("aria-pressed", shown);
};
window.switchCode = () => {
    const shown = kept() !== "shown" || !document.querySelector("details.hide[open]");
    kept(shown ? "shown" : "folded");
    setCode(shown);
};

// A long page is folded into its parts; the one that a link leads into is open, and on paper all are.
const parts = () => all("details.act-section");
const lead = () => {
    if (!parts().length) return;
    const place = document.getElementById(location.hash.slice(1)); // of Latin letters, as all of theirs are
    const part = place && (place.closest("details.act-section") ?? place.closest("section")?.querySelector(":scope > details.act-section"));
    if (!part) return;
    part.open = true;
    requestAnimationFrame(() => place.scrollIntoView());
};
let folded = [];
window.addEventListener("hashchange", lead);
window.addEventListener("beforeprint", () => {
    folded = parts().filter((part) => !part.open);
    for (const part of folded) part.open = true;
});
window.addEventListener("afterprint", () => { for (const part of folded) part.open = false; });

// What only some readers need is loaded when they do: the search at its field, the glossary at a term, curves that move.
let searching, explaining, tapped;
const search = () => { searching ??= load("search/minisearch.js").then(() => load("search/search.js")).then(() => load("search/records.js")); };
const explain = (link) => {
    explaining ??= load("terms/terms.js").then(() => load("terms/entries.js"));
    explaining.then(() => (link === tapped || link.matches(":hover, :focus")) && bookTerms.show(link));
};
const term = (event) => event.target.closest?.("article a:has(> .std-term)");
for (const type of ["pointerover", "focusin"]) document.addEventListener(type, (event) => {
    if (term(event)) explain(term(event));
    if (type === "focusin" && event.target.closest("form.bd-search")) search();
});
document.addEventListener("click", (event) => { // a first tap shows the entry, a second follows the link
    const link = term(event);
    if (link && event.pointerType === "touch" && link !== tapped) {
        event.preventDefault();
        tapped = link;
        explain(link);
    } else tapped = null;
});

// Figures that answer to the reader are made when one comes near the first of them.
const enliven = () => Promise.all([load("explorer/uplot/uPlot.iife.min.js"), ...["uplot/uPlot.min", "explorer", "cards"].map((name) => dress(`explorer/${name}.css`))]).then(() => load("explorer/cards.js"));

// The number of a figure or a table leads to its place, and copies the address of that.
document.addEventListener("click", (event) => {
    const link = event.target.closest(".act-number-link");
    if (link) navigator.clipboard?.writeText(link.href).then(() => { link.dataset.copied = ""; setTimeout(() => delete link.dataset.copied, 1500); }, () => {});
});

document.addEventListener("DOMContentLoaded", () => {
    for (const part of parts()) part.open = false;
    lead();
    if (document.querySelector("details.hide")) setCode(kept() === "shown");
    if (document.getElementById("search-results")) search();
    if (document.querySelector(".act-movable")) load("explorer/curves.js");
    const near = new IntersectionObserver((seen) => {
        if (!seen.some((entry) => entry.isIntersecting)) return;
        near.disconnect();
        enliven();
    }, { rootMargin: "600px" });
    for (const place of all(".act-live")) near.observe(place.parentElement);
    // What stands right behind a formula, a comma mostly, does not begin the next line.
    for (const formula of all("article span.math")) {
        const behind = formula.nextSibling;
        const mark = behind?.nodeType === 3 && behind.data.match(/^[^\s]+/)?.[0];
        if (!mark) continue;
        const held = Object.assign(document.createElement("span"), { className: "act-held" });
        behind.data = behind.data.slice(mark.length);
        formula.before(held);
        held.append(formula, mark);
    }
    // By keyboard, any section is a few stops away.
    const heads = all("article h2").filter((head) => head.closest("section[id]"));
    if (heads.length < 3) return;
    const skip = Object.assign(document.createElement("nav"), { className: "act-skip", ariaLabel: "Sections" });
    skip.append(...heads.map((head) => Object.assign(document.createElement("a"), { href: `#${head.closest("section[id]").id}`, textContent: head.innerText.replace(/#$/, "") })));
    document.querySelector("article").prepend(skip);
});
