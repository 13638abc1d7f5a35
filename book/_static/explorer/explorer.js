// The explorer: functions of the registry, their parameters, and a link that holds it all.

import { h, math, number, slider, swatch } from "./dom.js";
import { ACTIVATIONS } from "./functions.js";
import { start } from "./own.js";
import { Plot, PRIMES } from "./plot.js";

const COLOURS = [1, 2, 3, 4, 5, 6].map((i) => `--act-${i}`);
const HOME = [-6, 6];
const BY_NAME = new Map(ACTIVATIONS.map((about) => [about.name, about]));
const FIRST = "silu,gelu";

const state = { chosen: [], shown: [0, 1, 2], low: HOME[0], high: HOME[1], at: 1 };

// What stands in the link: #f=swish:1.5,gelu&x=-6,6&d=0,1,2&at=1, and the formula of one's own.
function read(hash) {
    const given = new URLSearchParams(hash.slice(1));
    const numbers = (name) => (given.get(name) ?? "").split(",").map((t) => (t.trim() ? Number(t) : NaN));
    const chosen = (given.get("f") ?? FIRST).split(",").slice(0, COLOURS.length);
    state.chosen = [];
    for (const text of chosen) {
        const [name, ...values] = text.split(":");
        if (BY_NAME.has(name)) add(name, values.map(Number));
    }
    const [low, high] = numbers("x");
    const good = high - low >= 1e-6 && Math.max(-low, high) <= 2e4;
    [state.low, state.high] = good ? [low, high] : HOME;
    const shown = [0, 1, 2].filter((order) => !given.has("d") || numbers("d").includes(order));
    state.shown = shown.length ? shown : [0, 1, 2];
    const [at] = numbers("at");
    state.at = Math.abs(at) <= 1e6 ? at : 1;
    const own = {};
    for (const text of (given.get("with") ?? "").split(",").slice(0, 4)) {
        const [name, value] = text.split(":");
        if (/^[A-Za-z]\w{0,15}$/.test(name) && value && Math.abs(Number(value)) <= 1e6) own[name] = Number(value);
    }
    const beside = given.get("beside");
    const [there] = numbers("ownat");
    return [given.get("own") ?? "", own, BY_NAME.has(beside) ? beside : "", Math.abs(there) <= 1e6 ? there : 1];
}

let written = null;
let waiting = null;
function write() {
    clearTimeout(waiting);
    waiting = setTimeout(link, 150);
}

// Puts the state into the address, and returns that.
function link() {
    clearTimeout(waiting);
    const short = (value) => String(Number(value.toPrecision(12)));
    const functions = state.chosen.map(({ about, values }) => [about.name, ...values.map(short)].join(":"));
    const parts = [`f=${functions.join(",")}`, `x=${short(state.low)},${short(state.high)}`];
    parts.push(`d=${state.shown.join(",")}`, `at=${short(state.at)}`);
    const typed = own.state();
    if (typed) {
        parts.push(`own=${encodeURIComponent(typed.formula)}`);
        const settings = Object.entries(typed.values).map(([name, value]) => `${name}:${short(value)}`);
        if (settings.length) parts.push(`with=${settings.join(",")}`);
        if (typed.beside) parts.push(`beside=${typed.beside}`);
        if (typed.at !== 1) parts.push(`ownat=${short(typed.at)}`);
    }
    written = `#${parts.join("&")}`;
    history.replaceState(null, "", written);
    return location.href;
}

function add(name, values = []) {
    const about = BY_NAME.get(name);
    const colour = COLOURS.find((c) => !state.chosen.some((one) => one.colour === c));
    if (!colour) return;
    const usable = (value) => Number.isFinite(value) && Math.abs(value) <= 1e6;
    const given = about.parameters.map((p, i) => (usable(values[i]) ? values[i] : p.value));
    state.chosen.push({ about, colour, values: given });
}

function curve({ about, colour, values }) {
    const settings = about.parameters.map((p, i) => `${p.name} ${number(values[i], 4)}`).join(", ");
    const label = settings ? `${about.name} (${settings})` : about.name;
    return {
        name: label,
        file: about.name,
        label,
        colour,
        evaluate: (x) => about.derivatives(x, ...values),
    };
}

const root = document.getElementById("act-explorer");
const cards = h("ul", { class: "exp-cards", "aria-label": "Chosen functions" });
const select = h(
    "select",
    { id: "exp-add", onchange: () => choose(select.value) },
    h("option", { value: "" }, "Add a function…"),
    ...ACTIVATIONS.map((about) => h("option", { value: about.name }, about.name)),
);
const toggles = PRIMES.map((prime, order) => {
    const box = h("input", { type: "checkbox", onchange: () => show(order, box.checked) });
    return { box, label: h("label", {}, box, h("span", {}, prime)) };
});
const point = h("input", { type: "number", step: "any", id: "exp-x", oninput: () => typed() });
const values = h("tbody");
const says = h("p", { class: "visually-hidden", role: "status" });
const figure = h("div", { class: "exp-figure" });

root.replaceChildren(
    h(
        "div",
        { class: "exp-controls" },
        h("label", { for: "exp-add", class: "visually-hidden" }, "Add a function"),
        select,
        cards,
        h("fieldset", { class: "exp-orders" }, h("legend", {}, "Show"), ...toggles.map((t) => t.label)),
    ),
    figure,
    h(
        "div",
        { class: "exp-read" },
        h(
            "table",
            {},
            h("caption", {}, h("label", { for: "exp-x" }, "Values at x = "), point),
            h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "function"), ...PRIMES.map((p) => h("th", { scope: "col" }, p)))),
            values,
        ),
    ),
    says,
);

const plot = new Plot(figure, {
    captioned: true,
    home: HOME,
    link,
    moved: (low, high) => {
        Object.assign(state, { low, high });
        write();
    },
    read: (x) => {
        state.at = x;
        point.value = x;
        tabulate();
        write();
    },
});
const own = start(document.getElementById("act-own"), write, link);

function typed() {
    const x = point.valueAsNumber;
    if (!(Math.abs(x) <= 1e6)) return;
    state.at = plot.at = x;
    plot.mark();
    tabulate();
    write();
}

function tabulate() {
    values.replaceChildren(
        ...state.chosen.map((one) => {
            const { label, evaluate } = curve(one);
            const found = evaluate(state.at);
            const name = h("th", { scope: "row" }, swatch(one.colour), label);
            return h("tr", {}, name, ...found.map((value) => h("td", {}, number(value))));
        }),
    );
}

function list() {
    cards.replaceChildren(...state.chosen.map(card));
    select.disabled = state.chosen.length === COLOURS.length;
    select.firstElementChild.textContent = select.disabled ? "Six are shown" : "Add a function…";
    toggles.forEach(({ box }, order) => (box.checked = state.shown.includes(order)));
}

function card(one) {
    const { about } = one;
    const name = about.chapter
        ? h("a", { href: `${about.chapter}.html` }, about.name)
        : h("span", { class: "exp-name" }, about.name);
    const remove = h(
        "button",
        { type: "button", class: "exp-remove", "aria-label": `Remove ${about.name}`, onclick: () => drop(one) },
        "×",
    );
    const sliders = about.parameters.map((parameter, i) =>
        slider({ ...parameter, value: one.values[i], label: `${parameter.name} of ${about.name}` }, (value) => {
            one.values[i] = value;
            draw();
        }),
    );
    const formula = h("div", { class: "exp-formula", tabindex: "0", role: "group", "aria-label": `Formula of ${about.name}` });
    formula.append(math(about.latex));
    return h("li", {}, h("div", { class: "exp-head" }, swatch(one.colour), name, remove), formula, ...sliders);
}

function choose(name) {
    select.value = "";
    if (!BY_NAME.has(name)) return;
    add(name);
    list();
    draw();
    says.textContent = `${name} added`;
}

function drop(one) {
    const place = state.chosen.indexOf(one);
    state.chosen.splice(place, 1);
    list();
    draw();
    says.textContent = `${one.about.name} removed`;
    (cards.querySelectorAll(".exp-remove")[Math.min(place, state.chosen.length - 1)] ?? select).focus();
}

function show(order, on) {
    const shown = [0, 1, 2].filter((o) => (o === order ? on : state.shown.includes(o)));
    if (shown.length) state.shown = shown;
    list();
    draw();
}

function draw() {
    plot.show(state.chosen.map(curve), state.shown);
    tabulate();
    write();
}

function restore() {
    own.set(...read(location.hash));
    [plot.low, plot.high, plot.at] = [state.low, state.high, state.at];
    point.value = state.at;
    list();
    draw();
    // A link that was copied below leads there.
    if (own.state()) document.getElementById("act-own").closest("section").scrollIntoView();
}

addEventListener("hashchange", () => location.hash !== written && /[#&](f|x|d|at|own)=/.test(location.hash) && restore());
restore();
