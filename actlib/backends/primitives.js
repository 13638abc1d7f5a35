// The primitives that generated JavaScript calls, in double precision; what each is stands in formula/primitives.py.

export const { exp, log, sqrt, sin, cos, sign, tanh, expm1, sinh, cosh, atan, asinh, abs: absolute, pow: power } = Math;

export function sigma(x) {
    const e = exp(-absolute(x));
    return (x < 0 ? e : 1) / (1 + e);
}

export function softplus(x) {
    return Math.max(x, 0) + Math.log1p(exp(-absolute(x)));
}

export function Phi(x) {
    const y = Math.SQRT1_2 * absolute(x);
    if (y <= 0.46875) return 0.5 + 0.5 * Math.SQRT1_2 * x * quotient(NEAR, y * y);
    const tail = 0.5 * gaussian(absolute(x), 0.5) * scaledTail(y); // not 1 + erf: that loses all its digits below -5.5
    return x > 0 ? 1 - tail : tail;
}

export function Phi_tail(x) {
    const y = Math.SQRT1_2 * absolute(x);
    return y <= 0.46875 ? Phi(-absolute(x)) * exp(y * y) : 0.5 * scaledTail(y);
}

export function phi(x) {
    return 0.3989422804014327 * gaussian(absolute(x), 0.5);
}

export function cosatan(x) {
    return 1 / Math.hypot(1, x);
}

export function damped(factor, by) {
    return by === 0 ? 0 : factor * by;
}

export function where(condition, value, other) {
    return condition ? value : other;
}

export function unless_nan(value, x) {
    return Number.isNaN(x) ? x : value;
}

export function square(x) {
    return x * x;
}

export function cube(x) {
    return x * x * x;
}

// erf and erfc by the rational Chebyshev approximations of W. J. Cody, "Rational Chebyshev approximation for the error
// function", Mathematics of Computation 23 (1969), 631-637: one for each of three intervals, coefficients of numerator
// and denominator from the highest power down.
const NEAR = [
    [1.85777706184603153e-1, 3.1611237438705656, 1.13864154151050156e2, 3.77485237685302021e2, 3.20937758913846947e3],
    [1, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3],
];
const MIDDLE = [
    [
        2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594, 6.61191906371416295e1,
        2.98635138197400131e2, 8.8195222124176909e2, 1.71204761263407058e3, 2.05107837782607147e3,
        1.23033935479799725e3,
    ],
    [
        1, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3,
        3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3,
    ],
];
const FAR = [
    [
        1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1, 1.25781726111229246e-1,
        1.60837851487422766e-2, 6.58749161529837803e-4,
    ],
    [
        1, 2.56852019228982242, 1.87295284992346047, 5.27905102951428412e-1, 6.05183413124413191e-2,
        2.33520497626869185e-3,
    ],
];
const SQRT1_PI = 0.5641895835477563;

export function erf(x) {
    const y = absolute(x);
    return y <= 0.46875 ? x * quotient(NEAR, y * y) : sign(x) * (1 - gaussian(y, 1) * scaledTail(y));
}

export function erfc(x) {
    const y = absolute(x);
    if (y <= 0.46875) return 1 - x * quotient(NEAR, y * y);
    const tail = gaussian(y, 1) * scaledTail(y);
    return x < 0 ? 2 - tail : tail;
}

// exp(-c y^2) for y >= 0 and c = 1/2 or 1: y^2 = s^2 + (y - s) (y + s), where the square of s is exact. The rounding of
// y^2 itself would cost digits.
function gaussian(y, c) {
    if (y > 40) return 0;
    const s = Math.trunc(16 * y) / 16;
    return exp(-c * s * s) * exp(c * (s - y) * (y + s));
}

// exp(y^2) erfc(y) for y > 0.46875
function scaledTail(y) {
    if (y <= 4) return quotient(MIDDLE, y);
    const z = 1 / (y * y);
    return (SQRT1_PI - z * quotient(FAR, z)) / y;
}

function quotient([above, below], x) {
    const value = (coefficients) => coefficients.reduce((sum, c) => sum * x + c, 0);
    return value(above) / value(below);
}
