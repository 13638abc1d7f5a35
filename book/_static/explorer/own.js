// A formula of the reader's own: it is drawn at once, and SymPy derives it in a worker. Nothing typed is ever run.

import { h, math, number, slider, swatch } from "./dom.js";
import { compile } from "./evaluate.js";
import { evaluator, FormulaError, parse } from "./formula.js";
import { ACTIVATIONS, BYTES } from "./functions.js";
import { LIMITS } from "./grammar.js";
import { Plot } from "./plot.js";

const SECONDS = 20;
const STEPS = ["Python is loading", "Python starts", "SymPy starts", "SymPy derives"];
const PAUSE = 150; // milliseconds of typing nothing after which a formula is drawn
const EXAMPLES = ["x*sigma(1.702*x)", "max(0, x)**2", "x*tanh(softplus(x))", "where(x > 0, x, alpha*(exp(x) - 1))", "x/(1 + abs(x))"];
const CODE = { actlib: "actlib", torch: "PyTorch", triton: "Triton", javascript: "JavaScript" };
const STYLES = { holds: "act-holds", "holds in part": "act-part", "does not hold": "act-fails" };

export function start(root, changed, link) {
    let worker = null;
    let ready = false;
    let step = 0; // of STEPS
    let timer = null;
    let busy = null; // the formula that waits for Python, or is being derived
    let waiting = null;
    let values = {}; // of parameters, those of formulas before, too
    let drawn = null; // { formula, parameters, run }
    let shown = null;

    const input = h("input", {
        type: "text",
        id: "exp-formula",
        autocomplete: "off",
        autocapitalize: "off",
        spellcheck: "false",
        "aria-describedby": "exp-status",
        onfocus: () => prepare(),
        oninput: () => {
            changed();
            clearTimeout(waiting);
            waiting = setTimeout(draw, PAUSE);
        },
    });
    const derive = h("button", { type: "submit", class: "exp-derive" }, "Derive");
    const stop = h("button", { type: "button", hidden: true, onclick: () => [end("Stopped."), prepare()] }, "Stop");
    const status = h("p", { id: "exp-status", role: "status", class: "exp-status" });
    const bar = h("progress", { max: 1, value: 0, "aria-label": "Loading Python", hidden: true });
    const sliders = h("div", { class: "exp-parameters" });
    const isFile = location.protocol === "file:";
    const figure = h("div", { class: "exp-figure" });
    const point = h("input", { type: "number", step: "any", id: "exp-own-x", oninput: () => typed() });
    const read = h("p", { class: "exp-values" });
    const beside = h(
        "select",
        { id: "exp-beside", onchange: () => [drawn && refresh(), changed()] },
        h("option", { value: "" }, "nothing"),
        ...ACTIVATIONS.map(({ name }) => h("option", { value: name }, name)),
    );
    const choice = h("p", { class: "exp-beside" }, h("label", { for: "exp-beside" }, "Drawn over"), beside);
    const at = h("p", { class: "exp-at" }, h("label", { for: "exp-own-x" }, "Values at x = "), point);
    const drawing = h("div", { class: "exp-drawing", hidden: true }, sliders, choice, figure, at, read);
    const result = h("div", { class: "exp-result" });
    const plot = new Plot(figure, { captioned: true, read: () => [table(), changed()], moved: () => table(), link });
    const form = h(
        "form",
        {
            class: "exp-form",
            onsubmit: (event) => {
                event.preventDefault();
                ask();
            },
        },
        h("label", { for: "exp-formula" }, "f(x) ="),
        input,
        derive,
        stop,
    );
    const examples = h(
        "p",
        { class: "exp-examples" },
        "For instance ",
        ...EXAMPLES.map((text) =>
            h("button", { type: "button", onclick: () => [(input.value = text), (values = {}), ready ? ask() : draw(), changed()] }, text),
        ),
    );
    root.replaceChildren(form, examples, bar, status, drawing, result);
    const bytes = Object.values(BYTES).reduce((a, b) => a + b);
    const size = Math.round(bytes / 1e6);
    const idle = () =>
        say(ready ? "" : `The curve is drawn while you type. Derive asks Python with SymPy for the rest; the page loads it, ${size} MB, when you enter the field.`);

    function say(text, wrong = false) {
        if (status.textContent !== text) status.textContent = text;
        status.classList.toggle("exp-wrong", wrong);
        input.setAttribute("aria-invalid", wrong);
    }

    function works(formula) {
        busy = formula;
        stop.hidden = formula === null;
        if (formula === null) bar.hidden = true;
        result.setAttribute("aria-busy", formula !== null);
    }

    // Reads what is typed and draws it; whether there was something to draw.
    function draw(asked = false) {
        clearTimeout(waiting);
        const formula = input.value;
        if (drawn?.formula === formula) return true;
        forget();
        drawn = null;
        if (!formula.trim() && !asked) {
            drawing.hidden = true;
            if (busy === null) idle();
            return false;
        }
        let tree;
        try {
            tree = parse(formula);
        } catch (error) {
            if (!(error instanceof FormulaError)) throw error;
            drawing.classList.add("exp-stale");
            say(sentence(error.message), true);
            return false;
        }
        drawn = { formula, parameters: tree.parameters, run: evaluator(tree) };
        const appears = drawing.hidden;
        drawing.hidden = false;
        drawing.classList.remove("exp-stale");
        for (const name of drawn.parameters) values[name] ??= 1;
        sliders.replaceChildren(
            ...drawn.parameters.map((name) =>
                slider({ name, value: values[name], low: -3, high: 3, label: name }, (value) => {
                    values[name] = value;
                    if (shown) shown.again.hidden = false;
                    refresh();
                    changed();
                }),
            ),
        );
        refresh();
        if (appears && document.activeElement === input) reveal();
        if (busy === null) idle();
        return true;
    }

    // Who types low in the window, or above a phone's keyboard, is to see that something is drawn below.
    function reveal() {
        if (figure.getBoundingClientRect().top > 0.6 * innerHeight) form.scrollIntoView();
    }

    function refresh() {
        plot.show(curves());
        table();
    }

    // The function of the library lies below.
    function curves() {
        const own = { name: "your formula", file: "own", label: `f(x) = ${drawn.formula}`, colour: "--act-1", evaluate };
        const about = ACTIVATIONS.find(({ name }) => name === beside.value);
        if (!about) return [own];
        const values = about.parameters.map((p) => p.value);
        const settings = about.parameters.map((p) => `${p.name} ${number(p.value, 4)}`).join(", ");
        const label = settings ? `${about.name} (${settings})` : about.name;
        return [{ name: about.name, label, colour: "--act-2", evaluate: (x) => about.derivatives(x, ...values) }, own];
    }

    // Where there is no value there is no slope, though its formula may have one.
    function evaluate(x) {
        const found = drawn.run(x, ...drawn.parameters.map((name) => values[name]));
        return Number.isNaN(found[0]) ? [NaN, NaN, NaN] : found;
    }

    function table() {
        if (!drawn) return;
        const lines = curves().reverse().map((curve) => {
            const [value, slope, second] = curve.evaluate(plot.at).map((v) => number(v));
            return h("span", {}, swatch(curve.colour), ` ${curve.name}: f = ${value}, f′ = ${slope}, f″ = ${second}`);
        });
        if (document.activeElement !== point) point.value = plot.at;
        read.replaceChildren(...lines, ...apart());
    }

    function typed() {
        const x = point.valueAsNumber;
        if (!(Math.abs(x) <= 1e6)) return;
        plot.at = x;
        plot.mark();
        table();
        changed();
    }

    // Where in the window the formula and the function below it are farthest apart.
    function apart() {
        const [below, own] = curves();
        if (!own) return [];
        const points = Array.from({ length: 2001 }, (_, i) => plot.low + (i / 2000) * (plot.high - plot.low));
        const gaps = points.map((x) => Math.abs(own.evaluate(x)[0] - below.evaluate(x)[0]));
        const widest = gaps.reduce((best, gap, i) => (gap > (gaps[best] ?? -1) ? i : best), -1);
        if (widest < 0) return [];
        const words = `In this window f and ${below.name} are farthest apart at x ≈ ${number(points[widest], 4)}: by ${number(gaps[widest], 4)}.`;
        return [h("span", {}, words)];
    }

    // What was derived is no longer of the formula that is typed.
    function forget() {
        result.replaceChildren();
        shown = null;
    }

    function ask() {
        if (busy !== null) end("");
        forget();
        if (!draw(true)) {
            drawing.hidden = true;
            return;
        }
        if (isFile) {
            return say("A page that is opened as a file may load no Python. Serve the book: python -m http.server", true);
        }
        works(input.value);
        if (!worker) launch();
        if (ready) run();
        else progress(step);
    }

    // Python starts before it is asked for, unless the reader saves data.
    function prepare() {
        if (!worker && !isFile && !navigator.connection?.saveData) launch();
    }

    function launch() {
        ready = false;
        progress(0);
        worker = new Worker(root.dataset.worker, { type: "module" });
        worker.onerror = (event) => failed(event.message ?? "no answer");
        worker.onmessage = ({ data }) => heard(data);
    }

    // Each step is a quarter of the bar; of what is loaded, the bytes are known.
    function progress(to, share = 0) {
        step = to;
        bar.value = (step + share) / STEPS.length;
        bar.hidden = busy === null;
        if (busy !== null) say(`Step ${step + 1} of ${STEPS.length}: ${STEPS[step]}…`);
    }

    function failed(words) {
        if (busy !== null) return end(`Python could not be loaded: ${words}`, true);
        worker.terminate(); // nobody has asked yet; who asks makes it load again
        worker = null;
    }

    function run() {
        progress(3);
        const seconds = Number(root.dataset.seconds ?? SECONDS);
        const late = `This did not end within ${seconds} seconds. What was found until then is shown.`;
        timer = setTimeout(() => [end(late, true), prepare()], 1000 * seconds);
        const given = Object.fromEntries(drawn.parameters.map((name) => [name, values[name]]));
        worker.postMessage({ formula: busy, values: given });
    }

    // Ends what runs; the worker cannot be interrupted otherwise, so the next formula gets a new one.
    function end(text, wrong = false) {
        clearTimeout(timer);
        worker?.terminate();
        worker = null;
        ready = false;
        works(null);
        say(text, wrong);
    }

    function heard(data) {
        if (data.kind === "loaded") {
            if (step === 0) progress(data.loaded < bytes ? 0 : 1, Math.min(1, data.loaded / bytes) % 1);
        } else if (data.kind === "starting") {
            progress(2);
        } else if (data.kind === "ready") {
            ready = true;
            if (busy !== null) run();
            else if (!status.classList.contains("exp-wrong")) idle();
        } else if (data.kind === "failed") {
            failed(data.message);
        } else if (data.kind === "part") {
            if (busy === drawn?.formula) receive(data.part);
        } else if (data.kind === "done") {
            clearTimeout(timer);
            if (busy === drawn?.formula && !status.classList.contains("exp-wrong")) say("Derived.");
            works(null);
            changed();
        }
    }

    function receive(part) {
        if (part.part === "error") return say(sentence(part.message), true);
        if (part.part === "formula") return begin(part);
        if (part.part === "problem") return say(sentence(part.message), true);
        if (part.part === "code") return shown.code.append(...Object.entries(CODE).map(([key, name], i) => code(name, part.code[key], i === 0)));
        const told = part.value.map(([kind, text]) => (kind === "latex" ? math(text) : text));
        if (part.part === "row") {
            shown.rows.append(h("tr", {}, h("th", { scope: "row" }, part.label), h("td", {}, ...told, h("span", { class: "exp-known" }, ` ${part.known}`))));
            shown.rows.parentElement.hidden = false;
        } else {
            const verdict = h("td", {}, h("span", { class: STYLES[part.verdict] ?? "" }, part.verdict || "–"));
            shown.principles.append(h("tr", {}, h("th", { scope: "row" }, part.label), verdict, h("td", {}, ...told)));
            shown.principles.parentElement.hidden = false;
        }
    }

    function begin(part) {
        const names = Object.keys(part.parameters);
        drawn = { ...drawn, parameters: names, run: compile(part.javascript) };
        refresh();
        const rows = h("tbody");
        const principles = h("tbody");
        const list = h("div", { class: "exp-code" });
        const again = h("button", { type: "button", hidden: true, onclick: () => ask() }, "Prove again at these values");
        const block = (label, latex) =>
            h("div", { class: "exp-formula", tabindex: "0", role: "group", "aria-label": label }, math(latex, true));
        const head = (...cells) => h("thead", {}, h("tr", {}, ...cells.map((cell) => h("th", { scope: "col" }, cell))));
        result.replaceChildren(
            block("The formula", `f(x) = ${part.latex}`),
            block("Its derivative", `f'(x) = ${part.slope}`),
            block("Its second derivative", `f''(x) = ${part.second}`),
            ...(part.steps.length ? [derivation(part.steps, block)] : []),
            again,
            scroll("Properties", h("table", { class: "act-table", hidden: true }, head("property", names.length ? `where ${told(part.parameters)}` : "found"), rows)),
            scroll("The three principles", h("table", { class: "act-table", hidden: true }, head("principle", "verdict", "because"), principles)),
            list,
        );
        shown = { rows, principles, code: list, again };
    }

    // How the derivative is found, folded; formulas are typeset when it is opened.
    function derivation(steps, block) {
        const list = h("ol");
        const open = () => {
            if (list.childElementCount) return;
            list.append(...steps.map(({ rule, latex }) => h("li", {}, h("span", {}, `${sentence(rule).slice(0, -1)}:`), block(rule, latex))));
        };
        const words = `The derivative in ${steps.length} ${steps.length > 1 ? "steps" : "step"}, of inner parts first`;
        return h("details", { class: "exp-steps", ontoggle: open }, h("summary", {}, words), list);
    }

    const told = (given) => Object.entries(given).map(([name, value]) => `${name} = ${number(value)}`).join(", ");
    const scroll = (label, table) => h("div", { class: "act-scroll", tabindex: "0", role: "group", "aria-label": label }, table);

    function code(name, text, open) {
        const copy = h(
            "button",
            {
                type: "button",
                onclick: async () => {
                    try {
                        await navigator.clipboard.writeText(text);
                    } catch {
                        getSelection().selectAllChildren(body);
                    }
                    copy.textContent = "Copied";
                    setTimeout(() => (copy.textContent = "Copy"), 1500);
                },
                "aria-label": `Copy the ${name} code`,
            },
            "Copy",
        );
        const body = h("pre", { tabindex: "0", "aria-label": `${name} code` }, text);
        return h("details", { open }, h("summary", {}, name), copy, body);
    }

    idle();
    return {
        // What of it stands in the link.
        state: () => {
            if (!input.value || input.value.length > LIMITS.longest) return null;
            const names = drawn?.formula === input.value ? drawn.parameters : Object.keys(values);
            const given = Object.fromEntries(names.map((name) => [name, values[name]]));
            return { formula: input.value, values: given, beside: beside.value, at: plot.at };
        },
        set: (formula, given, other, x) => {
            beside.value = other;
            plot.at = x;
            input.value = formula.slice(0, LIMITS.longest);
            values = given;
            drawn = null;
            draw();
        },
    };
}

const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
