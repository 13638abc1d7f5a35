// Curves in the chapters that the reader moves: what `figures.Movable` has drawn, with sliders below it.

import { compile } from "./evaluate.js";
import { h, number, slider } from "./dom.js";

for (const controls of document.querySelectorAll(".act-movable")) movable(controls);

function movable(controls) {
    const { source, places, points, unit, sliders } = JSON.parse(controls.dataset.curve);
    const curve = compile(source);
    const svg = controls.parentElement.querySelector("svg");
    const path = svg.querySelector('[id$="-movable"] path');
    const [left, right, bottom, top] = places; // of 0 and 1 in the picture
    const values = sliders.map(({ value }) => value);
    const at = (x, constants) => unit * curve(x, ...constants);
    const said = h("p", { role: "status" });

    function draw() {
        const ys = points.map((x) => at(x, values));
        const corner = (x, i) =>
            `${(left + x * (right - left)).toFixed(2)} ${(bottom + ys[i] * (top - bottom)).toFixed(2)}`;
        path.setAttribute("d", `M ${points.map(corner).join(" L ")}`);
        const swings = swingsOf(ys).map((y) => Number(y.toPrecision(3)));
        const signed = swings.map((y) => `${y > 0 ? "+" : ""}${number(y, 3)}`);
        said.textContent = `Swings: ${signed.join(", ")}. Largest error: ${number(Math.max(...swings.map(Math.abs)), 3)}.`;
    }

    const rows = sliders.map((about, i) =>
        slider({ ...about, label: about.name }, (value) => {
            values[i] = value;
            draw();
        }),
    );
    const set = (i, value) => {
        values[i] = value;
        const [range, field] = rows[i].querySelectorAll("input");
        range.value = value;
        field.value = Number(value.toPrecision(6));
        draw();
    };
    const begin = () => sliders.forEach(({ value }, i) => set(i, value));
    for (const [i, row] of rows.entries()) {
        for (const input of row.querySelectorAll("input")) input.step = (sliders[i].high - sliders[i].low) / 1000;
    }
    controls.append(...rows, said, h("button", { type: "button", onclick: begin }, "Back to the start"));
    begin();

    // The curve itself can be dragged by a mouse or a pen; a finger scrolls the page, and has the sliders.
    let grabbed = null;
    const place = (event) => {
        const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
        return [(point.x - left) / (right - left), (point.y - bottom) / (top - bottom)];
    };
    svg.style.cursor = "grab";
    svg.addEventListener("pointerdown", (event) => {
        const [x] = place(event);
        if (event.pointerType === "touch" || x < points[0] || x > points.at(-1)) return;
        // Of several constants the one that moves the curve most where it was grabbed.
        const effect = ({ low, high }, i) => Math.abs(at(x, values.with(i, high)) - at(x, values.with(i, low)));
        const effects = sliders.map(effect);
        grabbed = { x, i: effects.indexOf(Math.max(...effects)) };
        svg.setPointerCapture(event.pointerId);
        event.preventDefault();
    });
    svg.addEventListener("pointermove", (event) => {
        if (!grabbed) return;
        const { x, i } = grabbed;
        const [, y] = place(event);
        let { low, high } = sliders[i];
        const rises = at(x, values.with(i, high)) > at(x, values.with(i, low));
        for (let step = 0; step < 40; step++) {
            const middle = (low + high) / 2;
            if (at(x, values.with(i, middle)) < y === rises) low = middle;
            else high = middle;
        }
        set(i, (low + high) / 2);
    });
    for (const end of ["pointerup", "pointercancel"]) svg.addEventListener(end, () => (grabbed = null));
}

// The extreme value between each two changes of sign, without what is next to nothing.
function swingsOf(ys) {
    const swings = [];
    for (const y of ys) {
        if (swings.length === 0 || Math.sign(y) * Math.sign(swings.at(-1)) < 0) swings.push(y);
        else if (Math.abs(y) > Math.abs(swings.at(-1))) swings[swings.length - 1] = y;
    }
    const largest = Math.max(...swings.map(Math.abs));
    return swings.filter((y) => Math.abs(y) > largest / 1000);
}
