// Search as you type. records.js brings what is looked through, section by section, and MiniSearch looks through it.
"use strict";
window.bookSearch = (() => {
    const ROOT = new URL("../../", document.currentScript.src);
    const CHINESE = /[\u3400-\u9fff\uf900-\ufaff]+/g;
    const BOOST = { subject: 6, title: 5, page: 2, term: 1.5, sound: 3, pinyin: 0.6, text: 1 };
    const SAID_TOO_OFTEN = new Set("a an and are as at be by can could do does for from has have how i in is it its of on or should so than that the their then there this to was what when where which why will with would".split(" "));
    const KIND = { term: 0.5, object: 0.6 }; // a section explains more than an entry of the glossary does
    const SHOWN = 40;
    const FEW = 5;
    const [LONG, LEAD] = [220, 70]; // characters of an excerpt, and before what was found
    const SPELT = 0.3; // what it adds to the meaning of a word that it is the very one which is asked for
    let mini, records, terms;
    const groups = new Map(); // of a word that has others beside it: which these are

    const pairs = (run) => run.length === 1 ? [run] : Array.from({ length: run.length - 1 }, (_, i) => run.slice(i, i + 2));
    const plain = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
    // Words, numbers with their decimals, and signs that compare; of SiLU's the name.
    const WORDS = /\d+(?:\.\d+)+|[\p{L}\p{N}]+|[<>≤≥]/gu;
    const tokenize = (text) => (plain(text).replace(/['’]s\b|(?<=\d),(?=\d{3})/g, "").match(WORDS) ?? []).flatMap((word) => {
        const runs = word.match(CHINESE) ?? [];
        return [...word.split(CHINESE).filter(Boolean), ...runs.flatMap(pairs)];
    });
    // What words of one kind begin with: vanish, vanishes, vanishing; saturated, saturation; normalize, normalise.
    const stem = (word) => word.replace(/(?<=[a-z]{3})iz(?=[ei])/, "is").replace(/^([a-z]{3,}?)(?:ings?|(?<!e)ed|ions?|es|(?<![siu])s|e)$/, "$1");
    const processTerm = (word) => SAID_TOO_OFTEN.has(word) ? null : stem(word);
    const group = (word) => groups.has(word) ? [`=${groups.get(word)[0]}`] : [];
    const indexed = (word) => {
        const term = processTerm(word);
        return term && [term, ...group(term)];
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
        for (const words of data.synonyms) {
            const stems = words.map(stem);
            for (const word of stems) groups.set(word, stems);
        }
        mini = new MiniSearch({ fields: Object.keys(BOOST), tokenize, processTerm: indexed });
        await mini.addAllAsync(records.map(fields), { chunkSize: 50 }); // meanwhile the reader types
        document.querySelectorAll("form.bd-search").forEach(attend);
    };

    // Places with all words come first, or with others that mean the same; and if these are few, those that lack one.
    const find = (query) => {
        const words = [...new Set(tokenize(query).map(processTerm).filter(Boolean))];
        const options = {
            boost: BOOST,
            prefix: (word) => /^\p{L}{3}|\p{Script=Han}/u.test(word),
            fuzzy: (word) => /^[a-z]{6}/.test(word) && 0.2,
            boostTerm: (word) => groups.has(word) ? SPELT : 1,
            boostDocument: (id) => KIND[records[id].k] ?? 1,
            tokenize: (word) => [word],
            processTerm: (word) => word,
        };
        const either = words.map((word) => ({ combineWith: "OR", queries: [word, ...group(word)] }));
        const held = ({ queryTerms }) => words.filter((word) => [word, ...group(word)].some((one) => queryTerms.includes(one))).length;
        const hits = mini.search({ combineWith: "OR", queries: either }, options)
            .map((hit) => ({ held: held(hit), score: hit.score / hit.queryTerms.length, record: records[hit.id], words: hit.terms.flatMap((term) => groups.get(term.slice(1)) ?? term) }))
            .sort((a, b) => b.held - a.held || b.score - a.score);
        const least = hits.filter((hit) => hit.held === words.length).length < FEW ? words.length - 1 : words.length;
        return hits.filter((hit) => hit.held >= Math.max(1, Math.min(least, hits[0].held)));
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
    // Of all stretches that begin with a word that was found, the first that holds the most of them.
    const excerpt = (text, words) => {
        const found = words ? [...text.matchAll(new RegExp(words, "giu"))] : [];
        const many = (at) => new Set(found.filter(({ index }) => index >= at && index < at + LONG - LEAD).map(([word]) => word.toLowerCase())).size;
        const [at] = found.map(({ index }) => [index, many(index)]).reduce((best, one) => (one[1] > best[1] ? one : best), [0, 0]);
        let from = Math.max(0, at - LEAD);
        if (from) from = text.indexOf(" ", from) + 1 || from;
        let to = Math.min(text.length, from + LONG);
        if (to < text.length) to = Math.max(from + 1, text.lastIndexOf(" ", to));
        return `${from ? "… " : ""}${text.slice(from, to)}${to < text.length ? " …" : ""}`;
    };
    const spelt = (query, found) => {
        const parts = [...found, ...(query.match(CHINESE) ?? [])].sort((a, b) => b.length - a.length).map((word) => {
            const text = word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
            if (/^\p{N}/u.test(word)) return `(?<![\\p{L}\\p{N}.])${text}(?![.,]?\\p{N})`;
            return /^\p{Script=Han}/u.test(word) ? text : /^\p{L}/u.test(word) ? `(?<![\\p{L}\\p{N}])${text}\\p{L}{0,4}` : text;
        });
        return parts.length ? new RegExp(`(${parts.join("|")})`, "iu") : null;
    };
    const said = (query, record) => {
        const asked = plain(query).replace(/\s+/g, "");
        const run = (query.match(CHINESE) ?? [])[0];
        const hits = [...new Set([...record.h, ...record.g])].map((t) => terms[t])
            .filter(([names, name, typed]) => run ? name.includes(run)
                : asked.length > 2 && [...typed, ...names.map((n) => plain(n).replace(/\s+/g, ""))].some((p) => p.startsWith(asked)));
        return hits.slice(0, 3).map(([names, name]) => `${name.split("（")[0]}: ${names[0]}`).join("; ");
    };
    const item = (query, { record, words: found }) => {
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
