// Search as you type. records.js brings what is looked through, section by section, and MiniSearch looks through it.
"use strict";
window.bookSearch = (() => {
    const ROOT = new URL("../../", document.currentScript.src);
    const CHINESE = /[\u3400-\u9fff\uf900-\ufaff]+/g;
    const BOOST = { subject: 6, title: 5, page: 2, term: 1.5, sound: 3, pinyin: 0.6, text: 1 };
    const SAID_TOO_OFTEN = new Set("a an and are as at be by can do does for from how in is it its of on or that the this to what when where which why with".split(" "));
    const KIND = { term: 0.5, object: 0.6 }; // a section explains more than an entry of the glossary does
    const SHOWN = 40;
    let mini, records, terms;

    const pairs = (run) => run.length === 1 ? [run] : Array.from({ length: run.length - 1 }, (_, i) => run.slice(i, i + 2));
    const plain = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
    const tokenize = (text) => plain(text).split(/[^\p{L}\p{N}]+/u).flatMap((word) => {
        const runs = word.match(CHINESE) ?? [];
        return [...word.split(CHINESE).filter(Boolean), ...runs.flatMap(pairs)];
    });
    const processTerm = (word) => {
        if (SAID_TOO_OFTEN.has(word)) return null;
        return word.length > 3 && /[^sui]s$/.test(word) ? word.slice(0, -1) : word;
    };

    // A record as MiniSearch takes it: what it is about has all names that the glossary has for that.
    const fields = (record, id) => ({
        id,
        title: record.t,
        page: record.p,
        text: record.s,
        subject: [...record.i, ...record.h.flatMap((t) => [...terms[t][0], terms[t][1]])].join(", "),
        term: record.g.flatMap((t) => [...terms[t][0], terms[t][1]]).join(", "),
        sound: record.h.flatMap((t) => terms[t][2]).join(" "),
        pinyin: record.g.flatMap((t) => terms[t][2]).join(" "),
    });

    const ready = async (data) => {
        ({ records, terms } = data);
        mini = new MiniSearch({ fields: Object.keys(BOOST), tokenize, processTerm });
        await mini.addAllAsync(records.map(fields), { chunkSize: 50 }); // meanwhile the reader types
        document.querySelectorAll("form.bd-search").forEach(attend);
    };

    const find = (query) => {
        const options = {
            boost: BOOST,
            prefix: (word) => word.length > 2 || /\p{Script=Han}/u.test(word),
            fuzzy: (word) => word.length > 5 && !/\p{Script=Han}/u.test(word) && 0.2,
            boostDocument: (id) => KIND[records[id].k] ?? 1,
        };
        const all = mini.search(query, { ...options, combineWith: "AND" });
        const hits = all.length ? all : mini.search(query, options).sort((a, b) => b.queryTerms.length - a.queryTerms.length || b.score - a.score);
        return hits.map((hit) => ({ ...hit, record: records[hit.id] }));
    };

    // What of a record is shown: the stretch of its text with the first word that was found, and Chinese terms that were.
    const element = (name, options, ...children) => {
        const made = Object.assign(document.createElement(name), options);
        made.append(...children);
        return made;
    };
    const chinese = (text) => text.split(/([\u3400-\u9fff\uf900-\ufaff]+)/).filter(Boolean)
        .map((part, i) => /\p{Script=Han}/u.test(part) ? element("span", { lang: "zh-Hans" }, part) : part);
    const marked = (text, words) => {
        if (!words) return [text];
        return text.split(words).map((part, i) => i % 2 ? element("mark", {}, ...chinese(part)) : part)
            .flatMap((part) => typeof part === "string" ? chinese(part) : [part]);
    };
    const excerpt = (text, words) => {
        const at = words ? Math.max(0, text.search(words)) : 0;
        let from = Math.max(0, at - 70);
        if (from) from = text.indexOf(" ", from) + 1 || from;
        let to = Math.min(text.length, from + 220);
        if (to < text.length) to = Math.max(from + 1, text.lastIndexOf(" ", to));
        return `${from ? "… " : ""}${text.slice(from, to)}${to < text.length ? " …" : ""}`;
    };
    const spelt = (query, found) => {
        const parts = [...found, ...(query.match(CHINESE) ?? [])].map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
        if (!parts.length) return null;
        return new RegExp(`((?:(?<![\\p{L}\\p{N}])(?=[a-z0-9])|(?=\\p{Script=Han}))(?:${parts.sort((a, b) => b.length - a.length).join("|")})[a-z]{0,3})`, "iu");
    };
    const said = (query, record) => {
        const asked = plain(query).replace(/\s+/g, "");
        const run = (query.match(CHINESE) ?? [])[0];
        const hits = [...new Set([...record.h, ...record.g])].map((t) => terms[t])
            .filter(([names, name, typed]) => run ? name.includes(run)
                : asked.length > 2 && [...typed, ...names.map((n) => plain(n).replace(/\s+/g, ""))].some((p) => p.startsWith(asked)));
        return hits.slice(0, 3).map(([names, name]) => `${name.split("（")[0]}: ${names[0]}`).join("; ");
    };
    const item = (query, { record, terms: found }) => {
        const words = spelt(query, found);
        const link = element("a", { href: new URL(record.a, ROOT).href }, record.t);
        const lines = [record.p && element("p", { className: "act-hit-page" }, record.p), element("p", { className: "act-hit-title" }, link)];
        const term = said(query, record);
        if (term) lines.push(element("p", { className: "act-hit-term" }, ...chinese(term)));
        const text = excerpt(record.s, words);
        if (text) lines.push(element("p", { className: "act-hit-text" }, ...marked(text, words)));
        return element("li", {}, ...lines.filter(Boolean));
    };

    const attend = (form) => {
        const field = form.querySelector("input");
        const dialog = form.closest("dialog");
        let place = dialog ? null : document.getElementById("search-results");
        if (!place) form.after(place = element("div", {}));
        place.className = "act-hits";
        const status = element("p", { className: "act-hits-status" });
        status.setAttribute("role", "status");
        const list = element("ol", {});
        place.replaceChildren(status, list);
        const show = () => {
            const query = field.value.trim();
            const hits = query ? find(query) : [];
            status.textContent = !query ? "" : hits.length ? `${hits.length} ${hits.length === 1 ? "place" : "places"}` : "Nothing found.";
            list.replaceChildren(...hits.slice(0, SHOWN).map((hit) => item(query, hit)));
        };
        field.addEventListener("input", show);
        place.parentElement.addEventListener("keydown", (event) => {
            const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
            const stops = [field, ...list.querySelectorAll("a")];
            const at = stops.indexOf(document.activeElement);
            if (!step || at < 0 || !stops[at + step]) return;
            event.preventDefault();
            stops[at + step].focus();
        });
        list.addEventListener("click", (event) => event.target.closest("a") && dialog?.close());
        if (!dialog) field.value ||= new URLSearchParams(location.search).get("q") ?? "";
        show();
    };

    return { ready };
})();
