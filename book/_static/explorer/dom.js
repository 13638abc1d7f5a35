// Elements are made one by one: what a reader typed is text here, and never markup.

export function h(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
        if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
        else if (name === "style") for (const [key, v] of Object.entries(value)) element.style.setProperty(key, v);
        else if (value === true) element.setAttribute(name, "");
        else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
}

// A formula that MathJax typesets; where it cannot, its LaTeX stays readable.
export function math(latex, display = false) {
    const element = h("span", { class: "math notranslate nohighlight" }, display ? `\\[${latex}\\]` : `\\(${latex}\\)`);
    typeset(element);
    return element;
}

let queue = Promise.resolve();
function typeset(element) {
    queue = queue
        .then(mathjax)
        .then(() => element.isConnected && MathJax.typesetPromise([element]))
        .catch(() => {});
}

async function mathjax() {
    while (!window.MathJax?.startup?.promise) await new Promise((done) => setTimeout(done, 50));
    await MathJax.startup.promise;
}

export function number(value, digits = 6) {
    if (!Number.isFinite(value)) return Number.isNaN(value) ? "undefined" : value > 0 ? "∞" : "−∞";
    const rounded = Number(value.toPrecision(digits));
    const size = Math.abs(rounded);
    const text = size && (size < 1e-4 || size >= 1e7) ? rounded.toExponential() : String(rounded);
    return text.replace("e+", "e").replaceAll("-", "−");
}

// A disc in the colour of a curve.
export function swatch(colour) {
    return h("span", { class: "exp-swatch", "aria-hidden": "true", style: { "--exp-colour": `var(${colour})` } });
}

// A slider with a field for the number, both for one parameter. Where `changed` returns false, the number is refused.
export function slider({ name, value, low, high, label }, changed) {
    const step = 10 ** Math.floor(Math.log10((high - low) / 100));
    const range = h("input", { type: "range", min: low, max: high, step, "aria-label": `${label}, slider` });
    const field = h("input", { type: "number", step: "any", "aria-label": label });
    let last = value;
    const set = (next, from) => {
        if (from && changed(next) === false) return;
        last = next;
        if (from !== range) range.value = next;
        if (from !== field) field.value = Number(next.toPrecision(4));
    };
    range.addEventListener("input", () => set(range.valueAsNumber, range));
    field.addEventListener("input", () => {
        const next = field.valueAsNumber;
        if (Number.isFinite(next) && Math.abs(next) <= 1e6) set(next, field);
    });
    // What was refused does not stay.
    field.addEventListener("change", () => field.valueAsNumber !== last && (field.value = Number(last.toPrecision(4))));
    set(value);
    return h("div", { class: "exp-slider" }, h("span", { "aria-hidden": "true" }, name), range, field);
}
