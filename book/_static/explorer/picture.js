// What a plot shows, as an SVG of its own, and as a PNG made from that.

import { number } from "./dom.js";

const WIDTH = 760;
const [LEFT, RIGHT, TOP, BOTTOM] = [64, 14, 12, 26];
const ROW = 22; // of the legend

// panels: [{ name, height, x: [low, high], y: [low, high], data: [x, curve, …], inks: [of each curve] }];
// curves: [{ label, width, dash }]
export function picture({ panels, curves, colours, title }) {
    const legend = curves.length * ROW + 8;
    const height = panels.reduce((sum, panel) => sum + panel.height, legend);
    const root = element("svg", { xmlns: "http://www.w3.org/2000/svg", width: WIDTH, height, viewBox: `0 0 ${WIDTH} ${height}` });
    root.setAttribute("font-family", "system-ui, sans-serif");
    root.setAttribute("font-size", 13);
    root.append(element("title", {}, title), element("rect", { width: WIDTH, height, fill: colours.page }));
    curves.forEach((curve, i) => {
        const y = 4 + ROW * (i + 0.5);
        root.append(element("path", { d: `M ${LEFT} ${y} h 34`, ...stroke(curve, panels[0].inks[i]) }));
        root.append(element("text", { x: LEFT + 44, y: y + 4.5, fill: colours.ink }, curve.label));
    });
    let top = legend;
    for (const panel of panels) {
        drawPanel(root, panel, curves, colours, top);
        top += panel.height;
    }
    return new XMLSerializer().serializeToString(root);
}

function drawPanel(root, { name, height, x, y, data, inks }, curves, colours, top) {
    const box = { left: LEFT, right: WIDTH - RIGHT, top: top + TOP, bottom: top + height - BOTTOM };
    const across = (v) => box.left + ((v - x[0]) / (x[1] - x[0])) * (box.right - box.left);
    const up = (v) => box.bottom - ((v - y[0]) / (y[1] - y[0])) * (box.bottom - box.top);
    const line = (d, colour) => root.append(element("path", { d, stroke: colour, fill: "none" }));
    for (const tick of ticks(...x, 12)) {
        line(`M ${short(across(tick))} ${box.top} V ${box.bottom}`, tick === 0 ? colours.axis : colours.grid);
        const middle = { x: short(across(tick)), y: box.bottom + 17, "text-anchor": "middle", fill: colours.ink };
        root.append(element("text", middle, number(tick)));
    }
    for (const tick of ticks(...y, 5)) {
        line(`M ${box.left} ${short(up(tick))} H ${box.right}`, tick === 0 ? colours.axis : colours.grid);
        const end = { x: box.left - 8, y: short(up(tick) + 4.5), "text-anchor": "end", fill: colours.ink };
        root.append(element("text", end, number(tick)));
    }
    const [places, ...rows] = data;
    rows.forEach((row, i) => {
        let d = "";
        let down = false;
        row.forEach((value, k) => {
            if (value === null) return (down = false);
            d += `${down ? "L" : "M"}${short(across(places[k]))} ${short(up(value))}`;
            down = true;
        });
        root.append(element("path", { d, ...stroke(curves[i], inks[i]) }));
    });
    const label = { x: box.left + 8, y: box.top + 15, "font-style": "italic", "font-weight": 600, fill: colours.ink };
    root.append(element("text", label, name));
}

const stroke = ({ width, dash }, ink) => ({
    stroke: ink,
    "stroke-width": width,
    "stroke-linejoin": "round",
    fill: "none",
    ...(dash && { "stroke-dasharray": dash.join(" ") }),
});

const short = (v) => Number(v.toFixed(2));

function element(tag, attributes, ...children) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
}

// Round numbers in a range.
function ticks(low, high, most) {
    const rough = (high - low) / most;
    const unit = 10 ** Math.floor(Math.log10(rough));
    const step = unit * [1, 2, 5, 10].find((m) => m * unit >= rough);
    const found = [];
    for (let i = Math.ceil(low / step); i * step <= high; i++) found.push(Number((i * step).toPrecision(12)) || 0);
    return found;
}

export async function save(svg, name) {
    const kind = name.split(".").at(-1);
    const whole = new Blob([svg], { type: "image/svg+xml" });
    const blob = kind === "svg" ? whole : await painted(svg);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

async function painted(svg) {
    const image = new Image();
    image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
    await image.decode();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [2 * image.width, 2 * image.height];
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    return new Promise((done) => canvas.toBlob(done, "image/png"));
}
