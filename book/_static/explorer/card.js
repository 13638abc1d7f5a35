// What answers to a reader inside a chapter: `live.py` says where it stands, and what it shows.

import { h, math, number, slider } from "./dom.js";
import { ACTIVATIONS } from "./functions.js";
import { Plane } from "./plane.js";
import { Plot, PRIMES } from "./plot.js";
import { stack } from "./stack.js";

const BY_NAME = new Map(ACTIVATIONS.map((about) => [about.name, about]));
const ORDERS = ["--act-1", "--act-2", "--act-3"];
const HEIGHTS = [210, 140, 140];
const swatch = (colour) => h("span", { class: "exp-swatch", "aria-hidden": "true", style: { "--exp-colour": `var(${colour})` } });
const short = (value) => String(Number(value.toPrecision(12)));

// A number as it is shown, which carries all of its digits.
const exact = (value) => h("data", { value }, number(value));

for (const host of document.querySelectorAll(".act-live[data-live]")) {
    const about = JSON.parse(host.dataset.live);
    const make = { card, shares, stack: (...given) => stack(BY_NAME, ...given) }[about.kind];
    make(host, about);
    if (about.kind === "stack") name(host, about.caption);
    host.append(h("p", { class: "act-hint" }, about.hint));
    // Every other part is a formula.
    if (about.computed) host.append(h("p", {}, ...about.computed.split("$").map((part, i) => (i % 2 ? math(part) : part))));
    if (about.link) host.append(about.link);
    replace(host.closest(".act-figure"), about.caption);
    delete host.dataset.live;
}

// What stands below a figure belongs to it, and says so.
function name(host, caption) {
    const number = host.previousElementSibling.querySelector(".act-number-link").textContent.replace(/\.$/, "");
    host.append(h("p", { class: "act-caption" }, h("strong", {}, `${number}, continued.`), ` ${caption}`));
    host.setAttribute("role", "group");
    host.setAttribute("aria-label", `${number}, continued`);
}

// The stored picture is left to paper, and what its caption says too, where it speaks of the picture alone.
function replace(figure, caption) {
    if (!figure) return;
    figure.classList.add("act-moves");
    if (!caption) return;
    const [number, ...stored] = figure.querySelector("figcaption").childNodes;
    number.after(h("span", { class: "act-now" }, ` ${caption}`), h("span", { class: "act-stored" }, ...stored));
}

// The field for x, and what is read there.
function reading(name, at, typed) {
    const field = h("input", { type: "number", step: "any", value: at, "aria-label": name });
    field.addEventListener("input", () => Math.abs(field.valueAsNumber) <= 1e6 && typed(field.valueAsNumber));
    const said = h("span", { role: "status" });
    const row = h("div", { class: "act-read" }, h("label", {}, h("span", {}, `${name} =`), field), said);
    const show = (x, parts) => {
        if (document.activeElement !== field) field.value = x;
        said.replaceChildren(
            ...parts.map(([symbol, value, colour]) =>
                h("span", { class: "act-value" }, colour ? swatch(colour) : null, `${symbol} = `, exact(value)),
            ),
        );
    };
    return { row, show };
}

// The plot of a figure, whose window is part of its state, and the link that carries this to the explorer.
function plotOf(about, figure, state, { moved, read }) {
    about.link = h("a", { class: "act-explore" }, "Open in the explorer");
    return new Plot(figure, {
        home: about.home,
        heights: HEIGHTS,
        link: () => about.link.href,
        moved: (low, high) => {
            Object.assign(state, { low, high });
            moved();
        },
        read,
    });
}

// A function of the registry with its parameters: the plot, what is read, and the explorer one click away.
function card(host, about) {
    const { names, home, plane } = about;
    const state = { of: BY_NAME.get(names[0]), values: [], low: home[0], high: home[1], at: 1 };
    const sliders = h("div", { class: "act-sliders" });
    const select = h(
        "select",
        { "aria-label": "Function", onchange: () => choose(select.value) },
        ...names.map((name) => h("option", {}, name)),
    );
    if (names.length > 1) host.append(select);
    const map = plane ? new Plane(host, { moved: (gate, value) => pulled(gate, value) }) : null;
    const figure = h("div", { class: "exp-figure" });
    const read = reading(state.of.input, state.at, (x) => {
        state.at = plot.at = x;
        plot.mark();
        tell();
    });
    host.append(sliders, figure, read.row);
    const plot = plotOf(about, figure, state, {
        moved: redraw,
        read: (x) => {
            state.at = x;
            tell();
        },
    });

    function choose(name) {
        state.of = BY_NAME.get(name);
        state.values = state.of.parameters.map((parameter) => parameter.value);
        const rows = state.of.parameters.map((parameter, i) =>
            slider({ ...parameter, value: state.values[i], label: parameter.name }, (value) => {
                state.values[i] = value;
                draw();
            }),
        );
        sliders.replaceChildren(...rows);
        draw();
    }

    function pulled(gate, value) {
        const i = state.of.parameters.findIndex((parameter) => parameter.name === "value");
        state.at = plot.at = gate;
        state.values[i] = value;
        const [range, field] = sliders.children[i].querySelectorAll("input");
        range.value = field.value = value;
        draw();
    }

    function draw() {
        const { of, values } = state;
        plot.show([{ name: of.name, label: of.name, colour: ORDERS, evaluate: (x) => of.derivatives(x, ...values) }]);
        redraw();
    }

    function redraw() {
        map?.draw(state);
        tell();
    }

    function tell() {
        const { of, values, low, high, at } = state;
        const parts = of.derivatives(at, ...values).map((value, order) => [PRIMES[order], value, ORDERS[order]]);
        // What is linear in its value has there the slope that it is worth at value 1.
        if (map) parts.push(["slope in the value", of.derivatives(at, 1, ...values.slice(1))[0]]);
        read.show(at, parts);
        map?.mark(at, values[0]);
        const f = [of.name, ...values.map(short)].join(":");
        about.link.href = `explorer.html#f=${f}&x=${short(low)},${short(high)}&d=0,1,2&at=${short(at)}`;
    }

    choose(names[0]);
    requestAnimationFrame(() => plot.mark());
}

// Scores that are pulled, the shares that softmax makes of them, and the temperature by which they are divided.
function shares(host, about) {
    const { names, scores, home } = about;
    const { derivatives } = BY_NAME.get("softmax");
    const state = { scores: [...scores], temperature: 1, low: home[0], high: home[1] };
    // The share of one score among three: its own comes first.
    const share = (i, given, t) => derivatives(...[given[i], ...given.toSpliced(i, 1)].map((score) => score / t));
    const bars = names.map((_, i) => h("div", { class: "act-bar", "aria-hidden": "true", style: { background: `var(${ORDERS[i]})` } }));
    const told = names.map(() => h("span", { class: "act-share" }));
    const rows = names.map((name, i) => {
        const row = slider({ name, value: scores[i], low: -6, high: 6, label: `score of ${name}` }, (value) => pull(i, value));
        row.firstElementChild.prepend(swatch(ORDERS[i]));
        return h("div", { class: "act-score" }, row, h("div", { class: "act-track" }, bars[i]), told[i]);
    });
    const heat = slider({ name: "temperature", value: 1, low: 0.1, high: 10, label: "temperature" }, (value) => {
        if (!(value > 0)) return false;
        state.temperature = value;
        draw();
    });
    const figure = h("div", { class: "exp-figure" });
    const said = h("p", { class: "act-read", role: "status" });
    host.append(h("div", { class: "act-scores", role: "group", "aria-label": "Scores and shares" }, ...rows), heat, figure, said);
    const plot = plotOf(about, figure, state, { moved: tell, read: set });

    function set(x) {
        const [range, field] = rows[0].querySelectorAll("input");
        range.value = field.value = x;
        pull(0, x, true);
    }

    function pull(i, value, read = false) {
        state.scores[i] = value;
        if (i === 0 && !read) plot.at = value;
        if (i === 0) {
            plot.mark();
            tell();
        } else draw();
    }

    function draw() {
        const { scores, temperature: t } = state;
        const at = (x) => [x, ...scores.slice(1)];
        const curves = names.map((name, i) => ({
            name: `the share of ${name}`,
            file: "softmax",
            label: `share of ${name}`,
            colour: ORDERS[i],
            evaluate: (x) => {
                const [value, slope] = share(i, at(x), t);
                return [value, i ? NaN : slope / t, NaN]; // each share's slope in its own score is known
            },
        }));
        plot.at = scores[0];
        plot.show(curves, [0, 1]);
        tell();
    }

    function tell() {
        const { scores, temperature: t, low, high } = state;
        const found = names.map((_, i) => share(i, scores, t));
        found.forEach(([value], i) => {
            bars[i].style.width = `${100 * value}%`;
            told[i].replaceChildren(h("data", { value }, `${(100 * value).toFixed(1)}%`));
        });
        said.replaceChildren(`Slope of the share of ${names[0]} in its own score: `, exact(found[0][1] / t));
        const f = ["softmax", ...scores.slice(1).map((score) => short(score / t))].join(":");
        about.link.href = `explorer.html#f=${f}&x=${short(low)},${short(high)}&d=0,1&at=${short(scores[0] / t)}`;
    }

    draw();
    requestAnimationFrame(() => plot.mark());
}
