// Runs generated JavaScript without eval: a grammar for what `javascript_source` prints, and for nothing else.

import * as primitives from "./primitives.js";

const TOKEN = /\s*(?:(\d[\d.]*(?:e[+-]?\d+)?)|([A-Za-z_]\w*)|(<=|>=|&&|\|\||[-+*/()[\]{},;=<>!]))/y;

// The source of one function becomes that function, made of closures.
export function compile(source) {
    const tokens = [];
    TOKEN.lastIndex = 0;
    while (TOKEN.lastIndex < source.trimEnd().length) {
        const match = TOKEN.exec(source);
        if (!match) throw new Error("no generated code");
        tokens.push({ number: match[1], name: match[2], sign: match[3] });
    }
    let position = 0;
    const next = () => tokens[position] ?? {};
    const takes = (text) => ((next().sign ?? next().name) === text ? Boolean(++position) : false);
    const expect = (text) => {
        if (!takes(text)) throw new Error(`no generated code: ${text} is missing`);
    };
    const name = () => tokens[position++].name;

    const slots = new Map();
    const list = (item, end) => {
        const items = [];
        do items.push(item());
        while (takes(","));
        expect(end);
        return items;
    };
    const binary = (operand, operations) => () => {
        let left = operand();
        for (;;) {
            const sign = next().sign;
            if (!Object.hasOwn(operations, sign ?? "")) return left;
            position++;
            const [a, b, operation] = [left, operand(), operations[sign]];
            left = (env) => operation(a(env), b(env));
        }
    };
    const atom = () => {
        const token = tokens[position++];
        if (token.number !== undefined) {
            const value = Number(token.number);
            return () => value;
        }
        if (token.sign === "(") {
            const inner = any();
            expect(")");
            return inner;
        }
        if (token.sign === "-") {
            const value = atom();
            return (env) => -value(env);
        }
        if (token.sign === "!") {
            const value = atom();
            return (env) => !value(env);
        }
        if (takes("(")) {
            if (!Object.hasOwn(primitives, token.name)) throw new Error(`no primitive: ${token.name}`);
            const primitive = primitives[token.name];
            const values = list(any, ")");
            return (env) => primitive(...values.map((value) => value(env)));
        }
        if (token.name === "true" || token.name === "false") return () => token.name === "true";
        const slot = slots.get(token.name);
        if (slot === undefined) throw new Error(`no variable: ${token.name}`);
        return (env) => env[slot];
    };
    const product = binary(atom, { "*": (a, b) => a * b, "/": (a, b) => a / b });
    const sum = binary(product, { "+": (a, b) => a + b, "-": (a, b) => a - b });
    const relation = binary(sum, {
        "<": (a, b) => a < b,
        "<=": (a, b) => a <= b,
        ">": (a, b) => a > b,
        ">=": (a, b) => a >= b,
    });
    const both = binary(relation, { "&&": (a, b) => a && b });
    const any = binary(both, { "||": (a, b) => a || b });

    expect("function");
    name();
    expect("(");
    list(() => slots.set(name(), slots.size), ")");
    const inputs = slots.size;
    expect("{");
    const steps = [];
    while (takes("const")) {
        const made = name();
        expect("=");
        steps.push(any());
        slots.set(made, slots.size);
        expect(";");
    }
    expect("return");
    const several = takes("[");
    const results = several ? list(any, "]") : [any()];
    expect(";");
    return (...given) => {
        const env = given.slice(0, inputs);
        for (const step of steps) env.push(step(env));
        const values = results.map((result) => result(env));
        return several ? values : values[0];
    };
}
