// A function of gate and value over the plane of both, as a map whose shades change at the heights of the printed one.

import { h } from "./dom.js";

const HEIGHTS = [0.2, 0.5, 1, 2, 4, 8];
const COLUMNS = 300;
const ROWS = 150;

export class Plane {
    // moved: told of the gate and the value that are pointed at.
    constructor(host, { moved }) {
        this.canvas = h("canvas", { width: COLUMNS, height: ROWS, "aria-hidden": "true" });
        this.point = h("span", { class: "act-point", "aria-hidden": "true" });
        this.area = h(
            "div",
            { class: "act-plane", tabindex: "0", role: "group", "aria-roledescription": "map", onkeydown: (event) => this.key(event) },
            this.canvas,
            this.point,
        );
        const ends = ["top", "bottom"].map((side) => h("span", { class: `act-${side}` }));
        this.ends = ends;
        const axes = [h("span", { class: "act-side" }, "value"), h("span", { class: "act-foot" }, "gate →")];
        host.append(h("div", { class: "act-map" }, ...axes, ...ends, this.area));
        this.moved = moved;
        this.area.addEventListener("pointerdown", (event) => {
            this.held = event.pointerId;
            this.area.setPointerCapture(event.pointerId);
            this.pull(event);
        });
        this.area.addEventListener("pointermove", (event) => this.held === event.pointerId && this.pull(event));
        for (const end of ["pointerup", "pointercancel"]) this.area.addEventListener(end, () => (this.held = null));
        new MutationObserver(() => this.state && this.draw(this.state)).observe(document.documentElement, {
            attributes: true,
            attributeFilter: ["data-theme"],
        });
    }

    draw(state) {
        this.state = state;
        const { of, values, low, high } = state;
        const { low: bottom, high: top } = of.parameters.find((parameter) => parameter.name === "value");
        this.span = { low, high, bottom, top };
        const style = getComputedStyle(document.documentElement);
        const [above, below] = ["--act-1", "--act-2"].map((name) => {
            const hex = style.getPropertyValue(name).trim();
            return [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
        });
        const image = new ImageData(COLUMNS, ROWS);
        for (let row = 0; row < ROWS; row++) {
            const value = top - ((row + 0.5) / ROWS) * (top - bottom);
            for (let column = 0; column < COLUMNS; column++) {
                const gate = low + ((column + 0.5) / COLUMNS) * (high - low);
                const [f] = of.derivatives(gate, value, ...values.slice(1));
                const shade = HEIGHTS.filter((height) => Math.abs(f) > height).length;
                image.data.set([...(f > 0 ? above : below), shade * 34], 4 * (row * COLUMNS + column));
            }
        }
        this.canvas.getContext("2d").putImageData(image, 0, 0);
        this.ends[0].textContent = top;
        this.ends[1].textContent = String(bottom).replace("-", "−");
        const keys = "The arrow keys move gate and value.";
        this.area.setAttribute("aria-label", `Map of ${of.name} over gate and value, blue above 0 and orange below. ${keys}`);
    }

    mark(gate, value) {
        const { low, high, bottom, top } = this.span;
        this.at = { gate, value };
        const [x, y] = [(gate - low) / (high - low), (top - value) / (top - bottom)];
        this.point.hidden = x < 0 || x > 1 || y < 0 || y > 1;
        this.point.style.left = `${100 * x}%`;
        this.point.style.top = `${100 * y}%`;
    }

    pull(event) {
        const { low, high, bottom, top } = this.span;
        const box = this.area.getBoundingClientRect();
        const share = (part) => Math.min(1, Math.max(0, part));
        const gate = low + share((event.clientX - box.left) / box.width) * (high - low);
        const value = top - share((event.clientY - box.top) / box.height) * (top - bottom);
        this.moved(Number(gate.toPrecision(3)), Number(value.toPrecision(3)));
    }

    key(event) {
        const { low, high, bottom, top } = this.span;
        const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] };
        if (!steps[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
        event.preventDefault();
        const [across, up] = steps[event.key];
        const { gate, value } = this.at;
        const next = Math.min(top, Math.max(bottom, value + (up * (top - bottom)) / 60));
        this.moved(Number((gate + (across * (high - low)) / 100).toPrecision(8)), Number(next.toPrecision(8)));
    }
}
