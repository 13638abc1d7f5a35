// A formula as it is typed becomes a function at once, without Python: the grammar, the limits and the words are those of
// actlib/formula/parser.py. Nothing typed is ever run. Where SymPy would know more than this, Python has the last word.

import { CALLS, CONSTANTS, FUNCTIONS, LIMITS, NO_STEPS, SPELLINGS, STEPS } from "./grammar.js";

// What is wrong with a formula, in words for who typed it.
export class FormulaError extends Error {
    constructor(message, at = null) {
        super(at === null ? message : `${message} (at character ${at + 1})`);
    }
}

// The tree of a formula, and the names of its parameters, in order.
export function parse(text) {
    const characters = [...text];
    if (characters.length > LIMITS.longest) {
        const count = characters.length.toLocaleString("en");
        throw new FormulaError(`the formula has ${count} characters, more than ${LIMITS.longest}`);
    }
    const tree = read(tokens(characters.map((c) => SPELLINGS.get(c) ?? c).join("")));
    checkSize(tree);
    return { tree, parameters: [...tree.free].filter((name) => name !== "x").sort() };
}

// A function of x and the parameters: value, slope and second derivative.
export function evaluator({ tree, parameters }) {
    const run = compiled(tree, new Map(["x", ...parameters].map((name, i) => [name, i])));
    return (...given) => run(given);
}

// Numbers: fractions of whole numbers, exact

const whole = (n) => ({ p: BigInt(n), q: 1n });
const [ZERO, ONE] = [whole(0), whole(1)];

function fraction(p, q) {
    if (q < 0n) [p, q] = [-p, -q];
    let [a, b] = [p < 0n ? -p : p, q];
    while (b) [a, b] = [b, a % b];
    return { p: p / a, q: q / a };
}

const plus = (a, b) => fraction(a.p * b.q + b.p * a.q, a.q * b.q);
const times = (a, b) => fraction(a.p * b.p, a.q * b.q);
const negative = (a) => ({ p: -a.p, q: a.q });
const isZero = (a) => a.p === 0n;
const isOne = (a) => a.p === 1n && a.q === 1n;
const same = (a, b) => a.p === b.p && a.q === b.q;
const less = (a, b) => a.p * b.q < b.p * a.q;
const size = (a) => (a.p < 0n ? negative(a) : a);
const float = (a) => Number(a.p) / Number(a.q);

function raisedToWhole(a, n) {
    const power = (b) => b ** (n < 0n ? -n : n);
    return n < 0n ? fraction(power(a.q), power(a.p)) : { p: power(a.p), q: power(a.q) };
}

// a^(n/d) if that is a fraction, else null
function root(a, { p: n, q: d }) {
    if (a.p <= 0n) return null;
    const of = (b) => {
        const near = BigInt(Math.round(Number(b) ** (1 / Number(d))));
        return near ** d === b ? near : null;
    };
    const [above, below] = [of(a.p), of(a.q)];
    return above === null || below === null ? null : raisedToWhole({ p: above, q: below }, n);
}

// Trees: sums and products are gathered as SymPy does it, so that x - x is 0 and x*x a power. `key` tells two apart,
// `free` holds the names in it, and a number has `value`, unless it is a fraction, which is `exact`.

const NOTHING = new Set();
const union = (nodes) => new Set(nodes.flatMap((node) => [...node.free]));

function number(exact) {
    return { kind: "number", key: `${exact.p}/${exact.q}`, free: NOTHING, exact, value: float(exact) };
}

function made(node) {
    if (node.free.size === 0) [node.value] = compiled(node, new Map())([]);
    return node;
}

// The sum of fractions times trees.
function sum(...parts) {
    let total = ZERO;
    const terms = new Map();
    const add = (by, node) => {
        if (node.exact) total = plus(total, times(by, node.exact));
        else if (node.kind === "sum") {
            total = plus(total, times(by, node.constant));
            for (const [c, term] of node.terms) add(times(by, c), term);
        } else {
            const [c, term] = node.kind === "product" ? [node.constant, product(ONE, node.factors)] : [ONE, node];
            terms.set(term.key, [plus(terms.get(term.key)?.[0] ?? ZERO, times(by, c)), term]);
        }
    };
    for (const [by, node] of parts) add(by, node);
    const kept = [...terms.values()].filter(([c]) => !isZero(c));
    if (kept.length === 0) return number(total);
    if (kept.length === 1 && isZero(total)) return product(kept[0][0], [[kept[0][1], ONE]]);
    const keys = kept.map(([c, term]) => `${c.p}/${c.q}*${term.key}`).sort();
    const free = union(kept.map(([, term]) => term));
    return made({ kind: "sum", key: `(${total.p}/${total.q}+${keys.join("+")})`, free, constant: total, terms: kept });
}

// The product of a fraction and powers of trees; the exponents are fractions.
function product(by, powers) {
    let constant = by;
    let exponential = null;
    const factors = new Map();
    const multiply = (base, e) => {
        if (isZero(e)) return;
        const integer = e.q === 1n;
        if (base.exact && integer) constant = times(constant, raisedToWhole(base.exact, e.p));
        else if (base.exact && root(base.exact, e)) constant = times(constant, root(base.exact, e));
        else if (base.kind === "exp") {
            exponential = sum([ONE, exponential ?? number(ZERO)], [e, base.args[0]]);
        } else if (base.kind === "product" && integer) {
            constant = times(constant, raisedToWhole(base.constant, e.p));
            for (const [inner, n] of base.factors) multiply(inner, times(n, e));
        } else if (base.kind === "product" && base.factors.length === 1 && isOne(base.constant)) {
            const [inner, n] = base.factors[0];
            if (n.q === 1n && n.p % 2n === 0n) gather(call("abs", inner), times(n, e));
            else if (less(size(n), ONE)) gather(inner, times(n, e));
            else gather(base, e);
        } else if (base.kind === "abs" && integer && e.p % 2n === 0n) multiply(base.args[0], e);
        else gather(base, e);
    };
    const gather = (base, e) => {
        const before = factors.get(base.key)?.[1];
        factors.delete(base.key);
        const all = before ? plus(before, e) : e;
        if (before && base.exact) multiply(base, all);
        else if (!isZero(all)) factors.set(base.key, [base, all]);
    };
    for (const [base, e] of powers) multiply(base, e);
    if (exponential) {
        const raised = call("exp", exponential);
        if (raised.kind === "exp") factors.set(raised.key, [raised, ONE]);
        else multiply(raised, ONE);
    }
    const kept = [...factors.values()];
    if (kept.length === 0 || isZero(constant)) return number(constant);
    if (kept.length === 1 && isOne(kept[0][1])) {
        if (isOne(constant)) return kept[0][0];
        if (kept[0][0].kind === "sum") return sum([constant, kept[0][0]]);
    }
    const keys = kept.map(([base, e]) => `${base.key}^${e.p}/${e.q}`).sort();
    const free = union(kept.map(([base]) => base));
    return made({ kind: "product", key: `${constant.p}/${constant.q}*${keys.join("*")}`, free, constant, factors: kept });
}

// A function of one tree. Of what SymPy finds at once, this finds what is exact, and that exp and log undo each other.
function call(name, u) {
    const exact = u.exact && CALLS[name].exact[`${u.exact.p}/${u.exact.q}`];
    if (exact) return number(fraction(...exact.map(BigInt)));
    if (name === "exp" && u.kind === "log") return u.args[0];
    if (name === "exp" && u.kind === "product" && u.factors.length === 1 && isOne(u.factors[0][1])) {
        const [[inner]] = u.factors;
        if (inner.kind === "log") return product(ONE, [[inner.args[0], u.constant]]);
    }
    if (name === "log" && u.kind === "exp") return u.args[0];
    if (name === "sign" && u.exact) return number(whole(u.exact.p < 0n ? -1 : 1));
    if (name === "abs" && u.value < 0) return product(whole(-1), [[u, ONE]]);
    if (name === "abs" && isNonnegative(u)) return u;
    return made({ kind: name, key: `${name}(${u.key})`, free: u.free, args: [u] });
}

// The larger (1) or the smaller (-1) of two.
function extremum(sign, a, b) {
    const ahead = (c, d) => isNonnegative(sum([whole(sign), c], [whole(-sign), d]));
    if (ahead(a, b)) return a;
    if (ahead(b, a)) return b;
    const [first, second] = a.free.size ? [a, b] : [b, a]; // where they meet, a constant wins
    const name = sign > 0 ? "max" : "min";
    return made({ kind: name, key: `${name}(${[a.key, b.key].sort()})`, free: union([a, b]), args: [first, second] });
}

const RELATIONS = { "<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b };

function cases(relation, left, right, value, other) {
    const difference = sum([ONE, left], [whole(-1), right]);
    if (difference.free.size === 0) return RELATIONS[relation](difference.value, 0) ? value : other;
    if (value.key === other.key) return value;
    const args = [left, right, value, other];
    const key = `where(${left.key}${relation}${right.key},${value.key},${other.key})`;
    return made({ kind: "where", key, free: union(args), relation, args });
}

// Whether it is known to be positive for all real numbers.
function isPositive(node) {
    if (node.free.size === 0) return node.value > 0;
    if (node.kind === "sum") {
        return isNonnegative(node) && (node.constant.p > 0n || node.terms.some(([, term]) => isPositive(term)));
    }
    if (node.kind === "product") return node.constant.p > 0n && node.factors.every(([base]) => isPositive(base));
    if (node.kind === "max") return node.args.some(isPositive);
    if (node.kind === "min") return node.args.every(isPositive);
    if (node.kind === "where") return node.args.slice(2).every(isPositive);
    return Boolean(CALLS[node.kind]?.positive);
}

// Whether it is known not to be negative, anywhere.
function isNonnegative(node) {
    if (node.free.size === 0) return node.value >= 0;
    if (node.kind === "sum") return node.constant.p >= 0n && node.terms.every(([c, term]) => c.p > 0n && isNonnegative(term));
    if (node.kind === "product") {
        const good = ([base, e]) => (e.q === 1n && e.p % 2n === 0n) || e.q % 2n === 0n || isNonnegative(base);
        return node.constant.p > 0n && node.factors.every(good);
    }
    return node.kind === "abs" || (node.kind === "max" && node.args.some(isNonnegative)) || isPositive(node);
}

// Whether it is seen not to be positive: at some point it is 0 or less.
function isSeenNotPositive(node) {
    const names = [...node.free];
    const run = compiled(node, new Map(names.map((name, i) => [name, i])));
    const points = [0, 1, -1, 0.5, -0.5, 2, -2];
    return points.some((a) => points.some((b) => run(names.map((_, i) => (i % 2 ? b : a)))[0] <= 0));
}

// Reading

const TOKEN =
    /(?<space>[ \t\n\r]+)|(?<number>(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?)|(?<name>[A-Za-z][A-Za-z0-9_]*)|(?<sign>\*\*|<=|>=|[-+*/^(),<>])/y;

function tokens(text) {
    const found = [];
    let at = 0;
    while (at < text.length) {
        TOKEN.lastIndex = at;
        const match = TOKEN.exec(text);
        if (!match) throw new FormulaError(`${quoted(String.fromCodePoint(text.codePointAt(at)))} means nothing here`, at);
        const kind = ["number", "name", "sign"].find((k) => match.groups[k] !== undefined);
        if (kind) found.push({ kind, text: match[0], at });
        at += match[0].length;
    }
    if (found.length === 0) throw new FormulaError("there is no formula yet; try x*sigma(x)");
    return [...found, { kind: "end", text: "", at: text.length }];
}

function quoted(text) {
    if (/^(?:[^\p{C}\p{Z}]| )+$/u.test(text)) return `“${text}”`;
    const code = text.codePointAt(0);
    const [letter, digits] = code < 256 ? ["x", 2] : code < 65536 ? ["u", 4] : ["U", 8];
    const named = { 9: "t", 10: "n", 13: "r" }[code];
    return `“\\${named ?? letter + code.toString(16).padStart(digits, "0")}”`;
}

// Recursive descent: one function a rule of the grammar.
function read(list) {
    let position = 0;
    const parameters = new Set();
    const next = () => list[position];
    const takes = (...signs) => (next().kind === "sign" && signs.includes(next().text) ? list[position++].text : null);

    function expect(kind, text) {
        const token = next();
        if (token.kind === kind && token.text === text) return position++;
        if (token.kind === "end") throw new FormulaError(`the formula ends where “${text}” should follow`, token.at);
        if (token.kind !== "sign" || token.text === "(") {
            throw new FormulaError(`there is no sign before ${quoted(token.text)}; a product is written 2*x`, token.at);
        }
        const wanted = text ? `“${text}” should stand` : "the formula should end";
        throw new FormulaError(`${quoted(token.text)} stands where ${wanted}`, token.at);
    }

    function formula(depth) {
        const { at } = next();
        let total = term(depth);
        for (let sign; (sign = takes("+", "-")); ) {
            total = sound(sum([ONE, total], [whole(sign === "+" ? 1 : -1), term(depth)]), at);
        }
        return total;
    }

    function term(depth) {
        const { at } = next();
        let result = signed(depth);
        for (let sign; (sign = takes("*", "/")); ) {
            const here = next().at;
            const factor = signed(depth);
            if (sign === "/" && factor.exact && isZero(factor.exact)) throw new FormulaError("this divides by 0", here);
            result = sound(product(ONE, [[result, ONE], [factor, whole(sign === "*" ? 1 : -1)]]), at);
        }
        return result;
    }

    function signed(depth) {
        if (depth > LIMITS.deepest) {
            throw new FormulaError(`the formula is nested more than ${LIMITS.deepest} deep`, next().at);
        }
        const sign = takes("+", "-");
        if (!sign) return power(depth);
        const value = signed(depth + 1);
        return sign === "-" ? product(whole(-1), [[value, ONE]]) : value;
    }

    function power(depth) {
        const { at } = next();
        const base = atom(depth);
        if (!takes("**", "^")) return base;
        const here = next().at;
        return sound(raised(base, signed(depth + 1), here), at);
    }

    function atom(depth) {
        const token = list[position++];
        if (token.kind === "number") return typed(token);
        if (token.kind === "name") return named(token, depth);
        if (token.kind === "sign" && token.text === "(") {
            const value = formula(depth + 1);
            expect("sign", ")");
            return value;
        }
        if (token.kind === "end") throw new FormulaError("the formula ends too soon", token.at);
        throw new FormulaError(`${quoted(token.text)} stands where a number, a name or a bracket should`, token.at);
    }

    function named({ text: name, at }, depth) {
        if (takes("(")) {
            if (name === "where") return where(depth + 1, at);
            if (STEPS.includes(name)) throw new FormulaError(`${name} ${NO_STEPS}`, at);
            if (!FUNCTIONS.has(name)) {
                const known = [...FUNCTIONS.keys(), "where"].join(", ");
                throw new FormulaError(`${name} is no function here; known are ${known}`, at);
            }
            const values = [formula(depth + 1)];
            while (takes(",")) values.push(formula(depth + 1));
            expect("sign", ")");
            const { count, means } = FUNCTIONS.get(name);
            if (values.length !== count) {
                throw new FormulaError(`${name} takes ${count} argument${count > 1 ? "s" : ""}, not ${values.length}`, at);
            }
            return sound(means ? call(means, values[0]) : MEANINGS[name](...values), at);
        }
        if (FUNCTIONS.has(name) || name === "where") throw new FormulaError(`${name} is a function: write ${name}(x)`, at);
        if (name === "e") return call("exp", number(ONE));
        if (Object.hasOwn(CONSTANTS, name)) return { kind: "constant", key: name, free: NOTHING, value: CONSTANTS[name] };
        if (name !== "x") parameters.add(name);
        if (name.length > LIMITS.longestName) throw new FormulaError(`a name has at most ${LIMITS.longestName} characters`, at);
        if (parameters.size > LIMITS.mostParameters) {
            throw new FormulaError(`a formula has at most ${LIMITS.mostParameters} parameters besides x`, at);
        }
        return { kind: "symbol", key: name, free: new Set([name]) };
    }

    function where(depth, at) {
        const left = formula(depth);
        const sign = takes("<", "<=", ">", ">=");
        if (!sign) throw new FormulaError("where(condition, a, b) begins with a condition such as x > 0", next().at);
        const right = formula(depth);
        expect("sign", ",");
        const value = formula(depth);
        expect("sign", ",");
        const other = formula(depth);
        expect("sign", ")");
        return sound(cases(sign, left, right, value, other), at);
    }

    const result = formula(0);
    expect("end", "");
    return result;
}

// What is no function of one tree with a rule of its own.
const MEANINGS = {
    log1p: (u) => call("log", sum([ONE, number(ONE)], [ONE, u])),
    sqrt: (u) => product(ONE, [[u, fraction(1n, 2n)]]),
    erfc: (u) => product(whole(2), [[call("Phi", product(whole(-1), [[number(whole(2)), fraction(1n, 2n)], [u, ONE]])), ONE]]),
    relu: (u) => extremum(1, u, number(ZERO)),
    max: (a, b) => extremum(1, a, b),
    min: (a, b) => extremum(-1, a, b),
};

function typed({ text, at }) {
    const [mantissa, exponent = ""] = text.toLowerCase().split("e");
    if (mantissa.length > 25 || exponent.length > 4 || Math.abs(Number(exponent)) > 30) {
        throw new FormulaError("this number is too long: at most 25 digits, and from 1e-30 to 1e30", at);
    }
    const [before, after = ""] = mantissa.split(".");
    const digits = { p: BigInt(before + after), q: 1n };
    return sound(number(times(digits, raisedToWhole(whole(10), BigInt(Number(exponent) - after.length)))), at);
}

function raised(base, exponent, at) {
    if (base.kind === "exp" && base.args[0].exact && isOne(base.args[0].exact)) return call("exp", exponent);
    if (exponent.free.size) {
        if (isPositive(base) || !isSeenNotPositive(base)) {
            return call("exp", product(ONE, [[exponent, ONE], [call("log", base), ONE]]));
        }
        throw new FormulaError("this exponent is no number; only what is positive can be raised to it: exp(x), 2^x", at);
    }
    const e = exponent.exact ?? nearFraction(exponent.value);
    const most = whole(LIMITS.largestExponent);
    if (!e || less(most, size(e)) || e.q > most.p) {
        throw new FormulaError(`an exponent is a whole number or fraction of at most ${LIMITS.largestExponent}`, at);
    }
    if (base.exact && isZero(base.exact) && e.p <= 0n) throw new FormulaError("this divides by 0", at);
    return product(ONE, [[base, e]]);
}

// What may be a fraction that only SymPy sees, such as sqrt(2)*sqrt(8).
function nearFraction(value) {
    for (let q = 1; q <= LIMITS.largestExponent; q++) {
        const p = Math.round(value * q);
        if (Math.abs(value - p / q) < 1e-9) return fraction(BigInt(p), BigInt(q));
    }
    return null;
}

// The tree, if it is real and its constants and powers are of a size to compute with.
function sound(node, at) {
    const refuse = (words) => {
        throw new FormulaError(words, at);
    };
    const tooLarge = "this number is too large, or too fine";
    if (node.kind === "product" && node.factors.length === 1 && isOne(node.constant) && !node.exact) {
        const e = size(node.factors[0][1]);
        const most = whole(LIMITS.largestExponent);
        if (less(most, e)) refuse(`these powers amount to more than ${LIMITS.largestExponent}`);
    }
    const largest = { p: 10n ** BigInt(LIMITS.digits), q: 1n };
    if (node.exact) {
        if (less(largest, size(node.exact)) || node.exact.q > largest.p) refuse(tooLarge);
    } else if (node.free.size === 0) {
        const value = Math.abs(node.value);
        if (Number.isNaN(value) || (value === Infinity && node.kind === "log")) refuse("this has no real value");
        const vanished = value === 0 && Boolean(CALLS[node.kind]?.positive);
        if (value > float(largest) || vanished || (value && value < 1 / float(largest))) refuse(tooLarge);
    }
    return node;
}

// A rough bound of log10 of the values for -1000 <= x <= 1000: no function may be taken of numbers without end.
function checkSize(node) {
    if (node.free.size === 0) return node.value ? Math.max(Math.log10(Math.abs(node.value)), 0) : 0;
    if (node.kind === "symbol") return 3;
    const digits = (a) => (isZero(a) ? 0 : Math.max(Math.log10(Math.abs(float(a))), 0));
    if (node.kind === "product") {
        return node.factors.reduce((all, [base, e]) => all + checkSize(base) * float(size(e)), digits(node.constant));
    }
    if (node.kind === "sum") {
        const sizes = node.terms.map(([c, term]) => digits(c) + checkSize(term));
        return Math.max(digits(node.constant), ...sizes) + 1;
    }
    if (node.kind === "where") return Math.max(...node.args.slice(2).map(checkSize));
    const largest = Math.max(...node.args.map(checkSize));
    if (!["max", "min", "abs", "sign"].includes(node.kind) && largest > LIMITS.largestDigits) {
        throw new FormulaError(`within the formula, ${node.kind} is taken of numbers without end`);
    }
    return ["exp", "expm1", "sinh", "cosh"].includes(node.kind) ? 10 ** Math.min(largest, 300) : largest;
}

// Running: value, slope and second derivative of each part come from those of its parts

function compiled(node, slots) {
    if (node.value !== undefined) {
        const jet = [node.value, 0, 0];
        return () => jet;
    }
    if (node.kind === "symbol") {
        const slot = slots.get(node.key);
        const slope = node.key === "x" ? 1 : 0;
        return (env) => [env[slot], slope, 0];
    }
    if (node.kind === "sum") return compiledSum(node, slots);
    if (node.kind === "product") return compiledProduct(node, slots);
    const parts = node.args.map((part) => compiled(part, slots));
    if (node.kind === "where") {
        const holds = RELATIONS[node.relation];
        const [left, right, value, other] = parts;
        return (env) => (holds(left(env)[0], right(env)[0]) ? value(env) : other(env));
    }
    if (node.kind === "max" || node.kind === "min") {
        const wins = RELATIONS[node.kind === "max" ? ">" : "<"];
        return (env) => {
            const [a, b] = [parts[0](env), parts[1](env)];
            return wins(a[0], b[0]) || Number.isNaN(a[0]) ? a : b;
        };
    }
    const within = node.kind === "log" && exponentOf(node.args[0]);
    return within ? chained("softplus", compiled(within, slots)) : chained(node.kind, parts[0]);
}

// Of 1 + exp(u), the u.
function exponentOf(node) {
    if (node.kind !== "sum" || node.terms.length !== 1 || !isOne(node.constant)) return null;
    const [[c, term]] = node.terms;
    return isOne(c) && term.kind === "exp" ? term.args[0] : null;
}

function chained(name, part) {
    const { derivatives } = CALLS[name];
    return (env) => chain(derivatives, part(env));
}

function chain(f, [u, u1, u2]) {
    const [value, slope, second] = f(u);
    if (Number.isNaN(value)) return [NaN, NaN, NaN];
    return u1 === 0 && u2 === 0 ? [value, 0, 0] : [value, slope * u1, second * u1 * u1 + slope * u2];
}

function compiledSum({ constant, terms }, slots) {
    const start = float(constant);
    // c exp(u) - c, without cancellation
    const small = isZero(constant) ? -1 : terms.findIndex(([c, term]) => term.kind === "exp" && same(c, negative(constant)));
    const parts = terms.map(([c, term], i) => {
        const part = i === small ? chained("expm1", compiled(term.args[0], slots)) : compiled(term, slots);
        return [float(c), part];
    });
    return (env) => {
        const total = [small < 0 ? start : 0, 0, 0];
        for (const [c, part] of parts) part(env).forEach((v, i) => (total[i] += c * v));
        return total;
    };
}

function compiledProduct({ constant, factors }, slots) {
    // 1/(1 + exp(u)) is sigma(-u), and with exp(u) above, sigma(u)
    const gates = new Map();
    for (const [base, e] of factors) {
        const u = e.q === 1n && e.p < 0n && exponentOf(base);
        if (u) gates.set(base.key, u);
    }
    const above = factors.find(([base, e]) => base.kind === "exp" && isOne(e))?.[0];
    const gate = above && [...gates].find(([key, u]) => u.key === above.args[0].key && isOne(negative(factors.find(([b]) => b.key === key)[1])))?.[0];
    const parts = [];
    for (const [base, e] of factors) {
        if (gate && base === above) continue;
        const u = gates.get(base.key);
        if (!u) parts.push([compiled(base, slots), float(e)]);
        else {
            const turned = base.key === gate ? u : product(whole(-1), [[u, ONE]]);
            parts.push([chained("sigma", compiled(turned, slots)), -float(e)]);
        }
    }
    const by = float(constant);
    const powers = parts.map(([part, e]) => (e === 1 ? part : (env) => chain((v) => power(v, e), part(env))));
    return (env) => {
        const [a, a1, a2] = powers.map((part) => part(env)).reduce(times2);
        return [by * a, by * a1, by * a2];
    };
}

const times2 = ([a, a1, a2], [b, b1, b2]) => [a * b, a1 * b + a * b1, a2 * b + 2 * a1 * b1 + a * b2];

function power(v, e) {
    const raise = (n) => (n === 0 ? 1 : n === 1 ? v : n === 0.5 ? Math.sqrt(v) : v ** n);
    return [raise(e), e * raise(e - 1), e * (e - 1) * raise(e - 2)];
}
