// The glossary on the spot: an entry stands by its term while the pointer or the focus is there. A first tap shows it, a
// second follows the link; Escape takes it away.
"use strict";
window.bookTerms = (() => {
    const note = document.createElement("div");
    note.id = "act-term";
    note.setAttribute("role", "tooltip");
    note.hidden = true;
    document.querySelector("article").append(note);
    let entries, shown, waiting;

    const fill = ([names, chinese, meaning]) => {
        const line = (kind, text, language) => {
            const part = document.createElement(kind);
            part.textContent = text;
            if (language) part.lang = language;
            return part;
        };
        note.replaceChildren(line("strong", names.join(", ")), " ", line("span", chinese, "zh-Hans"), line("p", meaning));
    };
    const place = (link) => {
        const box = link.getClientRects()[0];
        note.style.left = note.style.top = "0";
        const width = note.offsetWidth;
        const left = Math.max(8, Math.min(box.left, document.documentElement.clientWidth - width - 8));
        const above = box.bottom + note.offsetHeight + 8 > window.innerHeight && box.top > note.offsetHeight + 8;
        note.style.left = `${left}px`;
        note.style.top = `${above ? box.top - note.offsetHeight - 4 : box.bottom + 4}px`;
    };
    const show = (link) => {
        clearTimeout(waiting);
        const entry = entries?.[decodeURIComponent(link.hash.slice(1))];
        if (!entry) return;
        hide();
        shown = link;
        fill(entry);
        note.hidden = false;
        place(link);
        link.setAttribute("aria-describedby", note.id);
    };
    const hide = () => {
        shown?.removeAttribute("aria-describedby");
        shown = null;
        note.hidden = true;
    };
    const later = () => { clearTimeout(waiting); waiting = setTimeout(hide, 250); };
    const term = (event) => event.target.closest?.("a:has(> .std-term)");

    const begin = (event) => note.contains(event.target) && clearTimeout(waiting); // at a term, `book.js` shows its entry
    for (const type of ["pointerover", "focusin"]) document.addEventListener(type, begin);
    document.addEventListener("pointerout", (event) => (term(event) || note.contains(event.target)) && event.pointerType === "mouse" && later());
    document.addEventListener("focusout", (event) => term(event) && later());
    document.addEventListener("click", (event) => !term(event) && !note.contains(event.target) && hide());
    document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
    document.addEventListener("scroll", () => shown && place(shown), { passive: true });

    return { show, ready: (data) => { entries = data; } };
})();
