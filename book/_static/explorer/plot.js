// Curves, one panel for each derivative, over a common x: drawn by uPlot, sampled anew for every window that is shown.

import { h, number } from "./dom.js";
import { picture, save } from "./picture.js";

const uPlot = window.uPlot; // from a script of its own

export const PRIMES = ["f", "f′", "f″"];
const NAMES = ["value", "slope", "second derivative"];
const HEIGHTS = [250, 170, 170];
const DASHES = [null, [11, 7], [3, 5], [11, 4, 3, 4], [7, 7], [2, 8]]; // of curves above others
const [THIN, THICK] = [2.25, 4];
const WIDEST = 2e4;
const NARROWEST = 1e-6;

const colourOf = ({ colour }, order) => (Array.isArray(colour) ? colour[order] : colour);

export class Plot {
    // host: where it is put; home: the window at first; moved: told of each new window; read: told of each new x; link:
    // the address that shows the same again; heights: of the panels; captioned: whether a line says what is shown.
    constructor(
        host,
        { home = [-6, 6], moved = () => {}, read = () => {}, link = () => location.href, heights = HEIGHTS, captioned = false } = {},
    ) {
        Object.assign(this, { home, moved, read, heights, curves: [], shown: [0, 1, 2], panels: [], styles: [], at: 1 });
        [this.low, this.high] = home;
        this.key = `exp-${Math.random()}`;
        this.boxes = PRIMES.map((prime) => h("div", { class: "exp-panel" }, h("span", { class: "exp-prime" }, prime)));
        this.area = h(
            "div",
            {
                class: "exp-area",
                tabindex: "0",
                role: "group",
                "aria-roledescription": "plot",
                onkeydown: (event) => this.key_pressed(event),
            },
            ...this.boxes,
        );
        this.area.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
        const button = (text, label, action) =>
            h("button", { type: "button", title: label, "aria-label": label, onclick: action }, text);
        this.buttons = h(
            "div",
            { class: "exp-buttons", role: "group", "aria-label": "Window" },
            button("−", "Zoom out", () => this.zoom(1.5)),
            button("+", "Zoom in", () => this.zoom(1 / 1.5)),
            button("←", "Move left", () => this.pan(-0.2)),
            button("→", "Move right", () => this.pan(0.2)),
            button("Reset", "Back to the first window", () => this.window(...this.home)),
        );
        const copy = button("Copy link", "Copy a link to what is shown", async () => {
            const address = link();
            copy.textContent = await navigator.clipboard.writeText(address).then(() => "Copied", () => "It is in the address bar");
            setTimeout(() => (copy.textContent = "Copy link"), 1500);
        });
        this.outputs = h(
            "div",
            { class: "exp-buttons exp-outputs", role: "group", "aria-label": "Take along" },
            button("SVG", "Download as SVG", () => save(this.picture(), this.file("svg"))),
            button("PNG", "Download as PNG", () => save(this.picture(), this.file("png"))),
            copy,
        );
        this.together = h("p", { class: "exp-together", hidden: true });
        this.caption = h("p", { class: "exp-caption", hidden: !captioned });
        host.append(this.area, this.caption, this.together, h("div", { class: "exp-below" }, this.outputs, this.buttons));
        this.touches = new Map();
        new ResizeObserver(() => this.resize()).observe(this.area);
        new MutationObserver(() => this.rebuild()).observe(document.documentElement, {
            attributes: true,
            attributeFilter: ["data-theme"],
        });
    }

    // curves: [{ name, label, colour, evaluate: x => [value, slope, second derivative] }]; a colour may be one for each
    // panel, and `file` what stands for the name in that of a file.
    show(curves, shown = this.shown) {
        const same =
            curves.length === this.curves.length &&
            curves.every((c, i) => c.colour === this.curves[i].colour && c.label === this.curves[i].label) &&
            shown.join() === this.shown.join();
        Object.assign(this, { curves, shown });
        if (same && this.panels.length) this.refresh();
        else this.rebuild();
    }

    window(low, high) {
        const width = high - low;
        if (!(width >= NARROWEST && Math.max(-low, high) <= WIDEST)) return;
        // Rounded, so that the link can hold it.
        const unit = 10 ** (Math.floor(Math.log10(width)) - 5);
        [this.low, this.high] = [low, high].map((end) => Number((Math.round(end / unit) * unit).toPrecision(12)));
        this.refresh();
        this.moved(this.low, this.high);
    }

    zoom(factor, around = (this.low + this.high) / 2) {
        this.window(around + (this.low - around) * factor, around + (this.high - around) * factor);
    }

    pan(share) {
        const by = (this.high - this.low) * share;
        this.window(this.low + by, this.high + by);
    }

    point(x) {
        this.at = x;
        this.mark();
        this.read(x);
    }

    // Shows the x that is read as a line across all panels.
    mark() {
        for (const { u } of this.panels) {
            const left = u.valToPos(this.at, "x");
            this.marking = true;
            u.setCursor({ left: left >= 0 && left <= u.over.clientWidth ? left : -10, top: 0 }, false);
            this.marking = false;
        }
    }

    key_pressed(event) {
        if (event.target !== this.area || event.ctrlKey || event.metaKey || event.altKey) return;
        const step = (this.high - this.low) / 100;
        const move = (by) => this.point(Number((this.at + by).toPrecision(8)));
        const actions = {
            ArrowLeft: () => (event.shiftKey ? this.pan(-0.1) : move(-step)),
            ArrowRight: () => (event.shiftKey ? this.pan(0.1) : move(step)),
            "+": () => this.zoom(1 / 1.5),
            "=": () => this.zoom(1 / 1.5),
            "-": () => this.zoom(1.5),
            0: () => this.window(...this.home),
            Home: () => this.window(...this.home),
        };
        if (actions[event.key]) {
            event.preventDefault();
            actions[event.key]();
        }
    }

    wheel(event) {
        // Only when asked: a wheel over the plot should go on scrolling the page.
        if (!event.ctrlKey && document.activeElement !== this.area) return;
        event.preventDefault();
        const u = this.panels[0]?.u;
        if (u) this.zoom(1.0015 ** event.deltaY, u.posToVal(event.clientX - u.over.getBoundingClientRect().left, "x"));
    }

    touch(u) {
        const over = u.over;
        const x = (clientX) => u.posToVal(clientX - over.getBoundingClientRect().left, "x");
        const end = (event) => this.touches.delete(event.pointerId);
        over.addEventListener("pointerdown", (event) => {
            if (event.pointerType !== "touch") return;
            this.touches.set(event.pointerId, event.clientX);
            this.held = [...this.touches.values()].map(x);
            if (this.touches.size === 1) this.point(Number(x(event.clientX).toPrecision(6)));
        });
        over.addEventListener("pointermove", (event) => {
            if (!this.touches.has(event.pointerId)) return;
            this.touches.set(event.pointerId, event.clientX);
            if (this.touches.size === 1) this.point(Number(x(event.clientX).toPrecision(6)));
            if (this.touches.size !== 2 || this.held.length !== 2) return;
            // The two numbers under the fingers stay under them.
            const box = over.getBoundingClientRect();
            const [p, q] = [...this.touches.values()].map((c) => (c - box.left) / box.width);
            const [a, b] = this.held;
            if (Math.abs(q - p) < 0.02) return;
            const width = (b - a) / (q - p);
            if (width > 0) this.window(a - p * width, a + (1 - p) * width);
        });
        for (const type of ["pointerup", "pointercancel", "pointerleave"]) over.addEventListener(type, end);
    }

    resize() {
        const width = this.area.clientWidth;
        if (!width || width === this.width) return;
        if (this.panels.length === 0) return this.rebuild();
        this.width = width;
        this.panels.forEach(({ u, order }) => u.setSize({ width, height: this.heights[order] }));
        this.refresh();
    }

    rebuild() {
        this.panels.forEach(({ u }) => u.destroy());
        this.panels = [];
        this.width = this.area.clientWidth;
        this.boxes.forEach((box, order) => (box.hidden = !this.shown.includes(order)));
        this.describe();
        if (!this.width) return;
        const style = getComputedStyle(document.documentElement);
        const colour = (name) => style.getPropertyValue(name).trim();
        const ink = getComputedStyle(this.area).color;
        const font = '12px system-ui, -apple-system, "Segoe UI", sans-serif';
        const grid = { stroke: colour("--act-rule"), width: 1 };
        const axis = { stroke: ink, font, grid, ticks: { show: false } };
        const data = this.sample();
        this.tell_apart(data);
        this.shown.forEach((order) => {
            const options = {
                width: this.width,
                height: this.heights[order],
                padding: [10, 8, 0, 0],
                legend: { show: false },
                cursor: {
                    sync: { key: this.key, setSeries: false, scales: ["x", null] },
                    drag: { x: true, y: false, setScale: false },
                    points: { size: 8 },
                    y: false,
                },
                scales: {
                    x: { time: false, range: () => [this.low, this.high] },
                    y: { range: (_, min, max) => padded(min, max) },
                },
                axes: [
                    { ...axis, size: 28, gap: 4, values: (_, ticks) => ticks.map((t) => number(t)) },
                    { ...axis, size: 52, gap: 6, values: (_, ticks) => ticks.map((t) => number(t)) },
                ],
                series: [
                    {},
                    ...this.curves.map((curve, i) => ({
                        label: curve.label,
                        paths: path,
                        stroke: colour(colourOf(curve, order)),
                        ...this.styles[i],
                        points: { show: false },
                    })),
                ],
                hooks: {
                    drawAxes: [(u) => origin(u, colour("--act-muted"))],
                    setCursor: [(u) => this.cursor(u)],
                    setSelect: [(u) => this.selected(u)],
                },
            };
            const u = new uPlot(options, [data.x, ...data.y.map((curve) => curve[order])], this.boxes[order]);
            // uPlot answers a double click by a scale of its own; here it means home.
            u.over.addEventListener("dblclick", () => this.window(...this.home));
            this.touch(u);
            this.panels.push({ u, order });
        });
        this.mark();
    }

    refresh() {
        this.describe();
        if (!this.panels.length) return;
        const data = this.sample();
        this.tell_apart(data);
        for (const { u, order } of this.panels) {
            this.styles.forEach((style, i) => Object.assign(u.series[i + 1], style));
            u.setData([data.x, ...data.y.map((curve) => curve[order])]);
        }
        this.mark();
    }

    // Curves that coincide over a good part of the window are drawn one above the other, thick below and dashed above,
    // and named.
    tell_apart({ y }) {
        const below = new Set();
        const above = new Set();
        const said = new Map();
        for (const order of this.shown) {
            const all = y.flatMap((curve) => curve[order]).filter((v) => v !== null);
            const pixel = all.length ? (Math.max(...all) - Math.min(...all)) / HEIGHTS[order] : 0;
            for (let j = 1; j < y.length; j++) {
                const shares = y.slice(0, j).map((curve) => share(curve[order], y[j][order], pixel));
                const i = shares.indexOf(Math.max(...shares));
                if (shares[i] < 0.2) continue;
                below.add(i);
                above.add(j);
                const where = shares[i] > 0.999 ? "in the whole window" : "in a part of the window";
                const words = `of ${this.curves[i].name} and ${this.curves[j].name} coincide ${where}.`;
                said.set(words, [...(said.get(words) ?? []), PRIMES[order]]);
            }
        }
        this.styles = this.curves.map((_, i) => ({
            width: below.has(i) && !above.has(i) ? THICK : THIN,
            dash: above.has(i) ? DASHES[i % DASHES.length] : null,
        }));
        const sentences = [...said].map(([words, primes]) => `${primes.join(", ")} ${words}`);
        if (said.size) sentences.push("Where curves coincide, one is drawn thick and the other dashed over it.");
        this.together.hidden = said.size === 0;
        this.together.textContent = sentences.join(" ");
    }

    // The name of a file with what is shown: silu-gelu-curves.svg.
    file(kind) {
        const names = new Set(this.curves.map(({ file, name }) => file ?? name));
        return `${[...names, "curves"].join("-").replace(/[^\w-]+/g, "-")}.${kind}`;
    }

    // An SVG of what is shown.
    picture() {
        const style = getComputedStyle(document.documentElement);
        const colour = (name) => style.getPropertyValue(name).trim();
        return picture({
            title: this.area.getAttribute("aria-label").split(". ")[0],
            colours: {
                page: colour("--pst-color-background"),
                ink: getComputedStyle(this.area).color,
                grid: colour("--act-rule"),
                axis: colour("--act-muted"),
            },
            curves: this.curves.map((curve, i) => ({ label: curve.label, ...this.styles[i] })),
            panels: this.panels.map(({ u, order }) => ({
                name: PRIMES[order],
                height: this.heights[order],
                inks: this.curves.map((curve) => colour(colourOf(curve, order))),
                x: [this.low, this.high],
                y: [u.scales.y.min, u.scales.y.max],
                data: u.data,
            })),
        });
    }

    describe() {
        const what = this.shown.map((order) => NAMES[order]).join(", ");
        const names = this.curves.map((curve) => curve.label).join(", ") || "nothing";
        const each = this.shown.map((order) => `${NAMES[order]} (${PRIMES[order]})`).join(", ");
        this.caption.textContent = `${each[0].toUpperCase()}${each.slice(1)} of ${names}.`;
        const keys = "Left and right arrow move the point that is read, with Shift the window; plus and minus zoom, 0 resets.";
        this.area.setAttribute("aria-label", `Plot of ${names}: ${what}, x from ${number(this.low)} to ${number(this.high)}. ${keys}`);
    }

    cursor(u) {
        if (this.marking || u.cursor.left < 0 || !u.cursor.event?.isTrusted) return;
        const x = u.posToVal(u.cursor.left, "x");
        const digits = Math.max(2, Math.ceil(Math.log10((Math.abs(x) * u.over.clientWidth) / (this.high - this.low))) + 1);
        this.at = Number(x.toPrecision(Math.min(digits, 12)));
        this.read(this.at);
    }

    selected(u) {
        const { left, width } = u.select;
        if (width > 5) this.window(u.posToVal(left, "x"), u.posToVal(left + width, "x"));
        if (width) u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    }

    // The points of all curves; where one of them jumps, it has a gap.
    sample() {
        const count = Math.max(200, Math.min(1600, 2 * this.width));
        const grid = Array.from({ length: count + 1 }, (_, i) => this.low + ((this.high - this.low) * i) / count);
        const rows = this.curves.map((curve) => grid.map(curve.evaluate));
        const gaps = new Map();
        rows.forEach((row, c) => {
            for (const order of [0, 1, 2]) {
                const values = row.map((v) => v[order]).filter(Number.isFinite);
                const height = Math.max(...values) - Math.min(...values);
                for (let i = 0; i < count; i++) {
                    const step = Math.abs(row[i + 1][order] - row[i][order]);
                    if (!(step > 0.02 * height)) continue;
                    const [a, b] = narrowed((x) => this.curves[c].evaluate(x)[order], grid[i], grid[i + 1]);
                    const value = this.curves[c].evaluate;
                    if (!(Math.abs(value(b)[order] - value(a)[order]) > 0.5 * step)) continue;
                    const middle = (a + b) / 2;
                    if (!gaps.has(middle)) gaps.set(middle, { around: [a, middle, b], blank: new Set() });
                    gaps.get(middle).blank.add(`${c} ${order}`);
                }
            }
        });
        const inserted = [...gaps.values()].flatMap(({ around, blank }) =>
            around.map((x, i) => ({ x, blank: i === 1 ? blank : null })),
        );
        const points = [...grid.map((x) => ({ x, blank: null })), ...inserted].sort((p, q) => p.x - q.x);
        const y = this.curves.map((curve, c) => {
            const values = points.map(({ x }) => curve.evaluate(x));
            return [0, 1, 2].map((order) =>
                values.map((v, i) => (points[i].blank?.has(`${c} ${order}`) || !Number.isFinite(v[order]) ? null : v[order])),
            );
        });
        return { x: points.map((p) => p.x), y };
    }
}

// The share of the points that both have at which two are less than a pixel apart.
function share(a, b, pixel) {
    let [both, near] = [0, 0];
    a.forEach((value, i) => {
        if (value === null || b[i] === null) return;
        both++;
        if (Math.abs(value - b[i]) <= pixel) near++;
    });
    return both ? near / both : 0;
}

// A line through all points, lifted at each gap, however narrow.
function path(u, index) {
    const stroke = new Path2D();
    let down = false;
    u.data[index].forEach((y, i) => {
        if (y === null) return (down = false);
        const at = [u.valToPos(u.data[0][i], "x", true), u.valToPos(y, "y", true)];
        if (down) stroke.lineTo(...at);
        else stroke.moveTo(...at);
        down = true;
    });
    return { stroke, fill: null, clip: null, band: null, gaps: null, flags: 1 };
}

// An interval that holds the largest part of a step, halved until it is as good as a point.
function narrowed(f, a, b) {
    const width = 1e-9 * Math.max(1, Math.abs(a));
    let [fa, fb] = [f(a), f(b)];
    while (b - a > width) {
        const middle = (a + b) / 2;
        const fm = f(middle);
        if (Math.abs(fm - fa) > Math.abs(fb - fm)) [b, fb] = [middle, fm];
        else [a, fa] = [middle, fm];
    }
    return [a, b];
}

function padded(min, max) {
    if (min === null || max === null) return [-1, 1];
    if (max - min < 1e-12 * Math.max(1, Math.abs(max))) return [min - 1, max + 1];
    const by = 0.07 * (max - min);
    return [min - by, max + by];
}

function origin(u, colour) {
    const { left, top, width, height } = u.bbox;
    const x = Math.round(u.valToPos(0, "x", true));
    const y = Math.round(u.valToPos(0, "y", true));
    u.ctx.save();
    u.ctx.strokeStyle = colour;
    u.ctx.lineWidth = devicePixelRatio;
    u.ctx.beginPath();
    if (x >= left && x <= left + width) {
        u.ctx.moveTo(x, top);
        u.ctx.lineTo(x, top + height);
    }
    if (y >= top && y <= top + height) {
        u.ctx.moveTo(left, y);
        u.ctx.lineTo(left + width, y);
    }
    u.ctx.stroke();
    u.ctx.restore();
}
