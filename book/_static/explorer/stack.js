// A signal and a gradient in a stack of layers, in the limit of many units: from the formula alone, without training.

import { h, number, slider } from "./dom.js";
import { phi } from "./primitives.js";

const NODES = 400;
const TALL = 240;

// The mean of the square of f's value (order 0) or slope (order 1) at sqrt(q) Z, with Z standard normal. The steps are
// equal in t where x = sinh t: there are enough of them near 0 whatever q is, and 0, where there may be a kink, is none.
export function meanSquare(f, order, q) {
    const scale = Math.sqrt(q);
    const end = Math.asinh(9 * scale);
    const step = (2 * end) / NODES;
    let sum = 0;
    for (let i = 0; i < NODES; i++) {
        const t = -end + (i + 0.5) * step;
        const x = Math.sinh(t);
        sum += ((phi(x / scale) * Math.cosh(t)) / scale) * f(x)[order] ** 2;
    }
    return sum * step;
}

// Of each layer the size of its signal, and that of the gradient there, if it is 1 at the last.
export function followed(f, gain, depth) {
    const signals = [];
    const factors = [];
    for (let q = gain ** 2, layer = 0; layer < depth; layer++) {
        if (!(q > 1e-290 && q < 1e290)) break;
        signals.push(Math.sqrt(q));
        factors.push(gain * Math.sqrt(meanSquare(f, 1, q)));
        q = gain ** 2 * meanSquare(f, 0, q);
    }
    const gradients = signals.map(() => 1);
    for (let layer = signals.length - 2; layer >= 0; layer--) gradients[layer] = gradients[layer + 1] * factors[layer];
    return { signals, gradients, whole: signals.length === depth };
}

const LINES = [
    ["gradients", "gradient", "--act-2"],
    ["signals", "signal", "--act-1"],
];

export function stack(functions, host, { names, gain }) {
    const state = { of: functions.get(names[0]), gain, depth: 20 };
    const select = h(
        "select",
        { "aria-label": "Function", onchange: () => draw((state.of = functions.get(select.value))) },
        ...names.map((name) => h("option", {}, name)),
    );
    const gains = slider({ name: "gain g", value: gain, low: 0.1, high: 16, label: "gain" }, (value) => {
        return value > 0 && draw((state.gain = value));
    });
    const depths = slider({ name: "layers", value: 20, low: 2, high: 50, label: "layers" }, (value) => {
        return value >= 2 && value <= 200 && draw((state.depth = Math.round(value)));
    });
    for (const input of depths.querySelectorAll("input")) input.step = 1;
    const picture = h("div", { class: "act-stack" });
    const said = h("p", { class: "act-read", role: "status" });
    if (names.length > 1) host.append(select);
    host.append(gains, depths, picture, said);

    function draw() {
        const { of, gain, depth } = state;
        const constants = of.parameters.map((parameter) => parameter.value);
        const found = followed((x) => of.derivatives(x, ...constants), gain, depth);
        picture.replaceChildren(chart(found, depth, picture.clientWidth || 600));
        if (!found.whole) {
            const fate = found.signals.at(-1) > 1 ? "exploded" : "vanished";
            said.textContent = `By layer ${found.signals.length + 1} the signal has ${fate}.`;
            return;
        }
        const factor = found.gradients[0] ** (1 / (depth - 1));
        const value = (given) => h("data", { value: given }, number(given, 3));
        said.replaceChildren(
            "Gradient × ",
            value(factor),
            " a layer, × ",
            value(found.gradients[0]),
            " in all. Signal in the last layer: ",
            value(found.signals.at(-1)),
            ".",
        );
    }

    draw();
    let width = picture.clientWidth;
    new ResizeObserver(() => picture.clientWidth !== width && draw((width = picture.clientWidth))).observe(picture);
}

const SVG = "http://www.w3.org/2000/svg";
function s(tag, attributes, ...children) {
    const element = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
}

// Lines over the layers, on a logarithmic axis.
function chart(found, depth, width) {
    const [left, right, top, bottom] = [52, 84, 10, 38];
    const logs = LINES.map(([of]) => found[of].map((value) => Math.log10(Math.max(value, 1e-300))));
    const low = Math.floor(Math.min(-1, ...logs.flat()));
    const high = Math.ceil(Math.max(1, ...logs.flat()));
    const x = (layer) => left + ((layer - 1) / (depth - 1)) * (width - left - right);
    const y = (log) => top + ((high - log) / (high - low)) * (TALL - top - bottom);
    const step = [1, 2, 5, 10, 20, 50, 100].find((n) => (high - low) / n <= 6) ?? 200;
    const every = [1, 2, 5, 10, 20, 50].find((n) => depth / n <= width / 45);
    const about = { role: "img", "aria-label": "Gradient and signal by hidden layer, in powers of ten" };
    const svg = s("svg", { ...about, width, height: TALL, viewBox: `0 0 ${width} ${TALL}` });
    for (let log = Math.ceil(low / step) * step; log <= high; log += step) {
        svg.append(s("line", { class: log ? "act-grid" : "act-one", x1: left, x2: width - right, y1: y(log), y2: y(log) }));
        const power = s("tspan", { dy: "-5", "font-size": "9" }, String(log).replace("-", "−"));
        svg.append(s("text", { x: left - 8, y: y(log) + 4, "text-anchor": "end" }, "10", power));
    }
    for (let layer = every === 1 ? 1 : every; layer <= depth; layer += every) {
        svg.append(s("text", { x: x(layer), y: TALL - bottom + 17, "text-anchor": "middle" }, String(layer)));
    }
    svg.append(s("text", { x: (left + width - right) / 2, y: TALL - 4, "text-anchor": "middle" }, "hidden layer"));
    const heights = logs.map((log) => (log.length ? y(log.at(-1)) : 0));
    if (Math.abs(heights[0] - heights[1]) < 15) {
        const order = heights[0] <= heights[1] ? [0, 1] : [1, 0];
        const middle = (heights[0] + heights[1]) / 2;
        order.forEach((line, i) => (heights[line] = middle + (i ? 7.5 : -7.5)));
    }
    LINES.forEach(([of, name, colour], i) => {
        const points = logs[i].map((log, layer) => `${x(layer + 1).toFixed(2)},${y(log).toFixed(2)}`);
        svg.append(s("polyline", { class: `act-${of}`, points: points.join(" "), style: `stroke: var(${colour})` }));
        svg.append(s("rect", { x: x(logs[i].length) + 8, y: heights[i] - 4, width: 8, height: 8, style: `fill: var(${colour})` }));
        svg.append(s("text", { x: x(logs[i].length) + 20, y: heights[i] + 4 }, name));
        svg.append(s("circle", { cx: x(logs[i].length), cy: y(logs[i].at(-1) ?? 0), r: 3, style: `fill: var(${colour})` }));
    });
    return svg;
}
