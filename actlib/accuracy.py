"""How exact a function is: its error in ulp against the SymPy formula at 50 digits.

An ulp (unit in the last place) is the distance between neighbouring floating-point numbers at the exact result. The
nearest number is within 0.5 ulp of it, so 0.5 is the best that any function can do.

    python -m actlib.accuracy                          a table over the registry, PyTorch's own functions beside
    python -m actlib.accuracy sigmoid                  of one function
    python -m actlib.accuracy sigmoid --exhaustive     on all 2^32 float32 inputs; some minutes a function
"""

import argparse
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import sympy as sp
import torch
from numpy.typing import NDArray
from sympy import Expr, Symbol
from torch import Tensor

from actlib.formula.primitives import derivative
from actlib.optional import FLINT

BAR = 0.55
"""The most ulp that a half-precision result of ours may be off."""

SINGLE_BAR = 1.0
"""The most ulp that a float32 result of ours may be off on the CPU, where it is a normal number."""


def every_finite(dtype: torch.dtype) -> Tensor:
    """Every finite number of a 16-bit type, in ascending order, minus zero before zero."""
    bits = torch.arange(-(1 << 15), 1 << 15, dtype=torch.int32).to(torch.int16)
    numbers = bits.view(dtype)
    numbers = numbers[numbers.isfinite()]
    negative, positive = numbers[numbers.signbit()], numbers[~numbers.signbit()]
    return torch.cat([negative.flip(0), positive])


def random_finite(dtype: torch.dtype, count: int, seed: int = 0) -> Tensor:
    """Finite numbers of random bit patterns: all magnitudes are equally likely, subnormal numbers included."""
    integers = {torch.float32: torch.int32, torch.float64: torch.int64}.get(dtype, torch.int16)
    info = torch.iinfo(integers)
    generator = torch.Generator().manual_seed(seed)
    bits = torch.randint(info.min, info.max, (count + count // 8,), dtype=integers, generator=generator)
    numbers = bits.view(dtype)
    return numbers[numbers.isfinite()][:count]


def every_float32(count: int = 1 << 22) -> Iterator[Tensor]:
    """Every finite float32 number, in the order of the bit patterns, so many patterns at a time."""
    return (_float32_block(start, count) for start in range(-(1 << 31), 1 << 31, count))


def _float32_block(start: int, count: int) -> Tensor:
    bits = torch.arange(start, min(start + count, 1 << 31), dtype=torch.int64).to(torch.int32)
    numbers = bits.view(torch.float32)
    return numbers[numbers.isfinite()]


def paired(numbers: Tensor, count: int) -> tuple[Tensor, ...]:
    """Inputs for a function of so many: the numbers themselves, then the same numbers in random orders.

    In float32 the others are at most 1 in size (larger ones take their reciprocal, about): a large one would lift a
    result out of the range where float32, in which all is computed, has lost digits to underflow.
    """
    generator = torch.Generator().manual_seed(1)
    others = torch.where(numbers.abs() > 1, 1 / numbers, numbers) if numbers.dtype == torch.float32 else numbers
    return numbers, *(others[torch.randperm(len(others), generator=generator)] for _ in range(count - 1))


def exact(expr: Expr, symbols: Sequence[Symbol], points: Sequence[NDArray]) -> tuple[NDArray, NDArray]:
    """The schoolbook formula at floating-point numbers, to 50 digits that are certain.

    Computed in balls, numbers that carry a bound of their error (Johansson, Arb, 2017). The precision is doubled until
    the bound leaves 50 digits, so that cancellation in the formula does no harm.

    Args:
        expr: The formula, in primitives or in SymPy's own functions.
        symbols: Its variables.
        points: For each variable an array of float64 values; all of one length.

    Returns:
        Two float64 arrays whose sum is the result: the nearest float64 numbers, and what they lack.

    Raises:
        ValueError: The formula has a function that is not known here.
        ArithmeticError: No precision gives 50 digits, as at a pole.
        ImportError: python-flint, which computes with balls, does not serve.
    """
    function = FLINT.require("actlib.balls", "actlib.accuracy.exact").compiled(sp.sympify(expr), symbols)
    high, low = np.empty(len(points[0])), np.empty(len(points[0]))
    for i, point in enumerate(zip(*(p.tolist() for p in points), strict=True)):
        result = function(*point)
        high[i] = float(result)
        low[i] = float(result - high[i]) if np.isfinite(high[i]) else 0.0
    return high, low


def ulp(values: NDArray, dtype: torch.dtype) -> NDArray:
    """Distance between neighbouring numbers of the type at the given float64 values."""
    info = torch.finfo(dtype)
    digits = 1 - round(np.log2(info.eps))
    lowest = round(np.log2(info.smallest_normal)) + 1  # frexp's exponent of the smallest normal number
    exponent = np.where(values == 0, lowest, np.frexp(np.nan_to_num(values))[1])
    return np.ldexp(1.0, np.maximum(exponent, lowest) - digits)


def ulp_error(computed: Tensor, high: NDArray, low: NDArray | float = 0.0) -> NDArray:
    """Error of the computed numbers in ulp of the exact results; infinite for a wrong NaN or infinity."""
    values = computed.detach().double().cpu().numpy()
    info = torch.finfo(computed.dtype)
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.abs(values - high - low) / ulp(high, computed.dtype)
        overflows = np.abs(high) >= info.max + ulp(np.array(info.max), computed.dtype) / 2
    right = np.isinf(values) & overflows & (np.sign(values) == np.sign(high))
    error = np.where(right, 0.0, error)
    return np.where(np.isfinite(error), error, np.inf)


_LOWEST, _HIGHEST = -14, 12  # powers of two between which octaves are told apart


@dataclass(frozen=True)
class Profile:
    """What errors are like over all inputs.

    Attributes:
        places: Quarters of octaves, negative inputs on the left: where a curve over them has its points.
        largest: The largest error within each.
        over: How many inputs are off by more than `BAR`.
        count: How many inputs there are.
        machine: What it was measured on, where that matters.
    """

    places: NDArray = field(repr=False)
    largest: NDArray = field(repr=False)
    over: int
    count: int
    machine: str = ""

    def max(self) -> float:
        """The largest error of all."""
        return float(self.largest.max())

    @property
    def share(self) -> float:
        """Share of the inputs that are off by more than `BAR`."""
        return self.over / self.count

    def rounded(self) -> dict:
        """As it is kept: errors to four digits."""
        largest = [float(f"{e:.4g}") for e in self.largest]
        return {"places": self.places.tolist(), "largest": largest, "over": self.over, "count": self.count}

    @classmethod
    def of(cls, row: Mapping, machine: str) -> "Profile":
        """From what was kept."""
        places, largest = np.array(row["places"]), np.array(row["largest"])
        return cls(places, largest, row["over"], row["count"], machine)


def profile(inputs: Tensor, errors: NDArray) -> Profile:
    """The largest errors within each quarter of an octave.

    Args:
        inputs: Numbers of a 16-bit type, as `every_finite` gives them.
        errors: The error at each, in ulp.
    """
    x = inputs.double().numpy()
    mantissa, exponent = np.frexp(np.abs(x))
    quarter = np.searchsorted([2 ** (-3 / 4), 2 ** (-2 / 4), 2 ** (-1 / 4)], mantissa, side="right") / 4
    octave = np.where(x == 0, _LOWEST, np.clip(exponent - 1 + quarter, _LOWEST, _HIGHEST)) - _LOWEST + 0.25
    place = np.where(np.signbit(x), -octave, octave)
    places, where = np.unique(place, return_inverse=True)
    largest = np.zeros(len(places))
    np.maximum.at(largest, where, errors)
    return Profile(places, largest, int((errors > BAR).sum()), len(errors))


def slope(function: Callable, *inputs: Tensor, wanted: int = 0, upstream: Tensor | None = None) -> Tensor:
    """The derivative of an elementwise function in an input, by its own backward; times a gradient from upstream."""
    inputs = [t.detach().clone().requires_grad_(i == wanted) for i, t in enumerate(inputs)]
    output = function(*inputs)
    (gradient,) = torch.autograd.grad(output, inputs[wanted], torch.ones_like(output) if upstream is None else upstream)
    return gradient


class Reference:
    """The exact values and slopes of a formula at given inputs.

    Args:
        formula: A formula of one variable or several.
        symbols: The variable, or the variables.
        *inputs: For each of them a tensor of one dimension.
    """

    def __init__(self, formula: Expr, symbols: Symbol | Sequence[Symbol], *inputs: Tensor):
        self.formula = formula
        self.symbols = (symbols,) if isinstance(symbols, Symbol) else tuple(symbols)
        self.inputs = inputs

    @cached_property
    def value(self) -> tuple[NDArray, NDArray]:
        """Exact results."""
        return self._exact(self.formula)

    @cached_property
    def slopes(self) -> list[tuple[NDArray, NDArray]]:
        """Exact slopes in each of the variables."""
        return [self._exact(derivative(self.formula, s)) for s in self.symbols]

    def value_errors(self, function: Callable) -> NDArray:
        """Errors of a function's results in ulp."""
        return ulp_error(function(*self.inputs), *self.value)

    def backward_errors(self, function: Callable, upstream: Tensor, *, normal: bool = False) -> NDArray:
        """Errors of the gradients of a function in ulp, given one from upstream; of several variables the largest.

        If so asked, those of normal numbers alone: others are 0.
        """
        g = sp.Dummy("g", real=True)
        points = [t.double().numpy() for t in (upstream, *self.inputs)]
        errors = []
        for i, s in enumerate(self.symbols):
            truth = exact(g * derivative(self.formula, s), (g, *self.symbols), points)
            error = ulp_error(slope(function, *self.inputs, wanted=i, upstream=upstream), *truth)
            least = torch.finfo(upstream.dtype).smallest_normal if normal else 0
            errors.append(np.where(np.abs(truth[0]) >= least, error, 0.0))
        return np.max(errors, axis=0)

    def slope_errors(self, function: Callable) -> NDArray:
        """Errors of a function's slopes in ulp; of several variables the largest."""
        errors = [ulp_error(slope(function, *self.inputs, wanted=i), *s) for i, s in enumerate(self.slopes)]
        return np.max(errors, axis=0)

    def errors(self, functions: Mapping[str, Callable]) -> dict[str, dict[str, NDArray]]:
        """Errors in ulp under "value" and "slope", each by the name of the function."""
        return {
            "value": {name: self.value_errors(f) for name, f in functions.items()},
            "slope": {name: self.slope_errors(f) for name, f in functions.items()},
        }

    def _exact(self, expr: Expr) -> tuple[NDArray, NDArray]:
        return exact(expr, self.symbols, [t.double().numpy() for t in self.inputs])


def single_errors(
    formula: Expr, symbols: Symbol | Sequence[Symbol], function: Callable, count: int, seed: int = 0
) -> tuple[float, float]:
    """Largest errors of value and slopes in float32, in ulp, on random bit patterns; see `single_errors_at`.

    Args:
        formula: A formula of one variable or several, in primitives.
        symbols: The variable, or the variables.
        function: The function to judge.
        count: How many inputs.
        seed: Of the random bit patterns.

    Returns:
        The largest error of the value and of the slopes.

    Raises:
        ArithmeticError: The float64 reference disagrees with the 50 digits.
    """
    symbols = (symbols,) if isinstance(symbols, Symbol) else tuple(symbols)
    inputs = with_partners(random_finite(torch.float32, count, seed), len(symbols))
    return single_errors_at(formula, symbols, function, inputs)


def with_partners(numbers: Tensor, count: int) -> tuple[Tensor, ...]:
    """Inputs for a function of so many: float32 numbers, and for each further input numbers of random bit patterns."""
    return numbers, *(
        random_finite(torch.float32, len(numbers) + 64, 1000 + i)[: len(numbers)] for i in range(1, count)
    )


def single_errors_at(
    formula: Expr, symbols: Sequence[Symbol], function: Callable, inputs: Sequence[Tensor]
) -> tuple[float, float]:
    """Largest errors of value and slopes at float32 inputs, in ulp. Results that are no normal numbers are left out.

    The formula's own machine code in float64 finds the inputs with the largest errors; what is returned is their error
    by 50 digits. Others are tried too, in which the two must agree.

    Args:
        formula: A formula in primitives.
        symbols: Its variables.
        function: The function to judge.
        inputs: For each variable a tensor of one dimension.

    Returns:
        The largest error of the value and of the slopes.

    Raises:
        ArithmeticError: The float64 reference disagrees with the 50 digits.
    """
    return _of_value_and_slopes(_largest, formula, symbols, function, inputs)


def _of_value_and_slopes(
    largest: Callable, formula: Expr, symbols: Sequence[Symbol], function: Callable, inputs: Sequence[Tensor]
) -> tuple[float, float]:
    """What is said of the value, and the most that is said of a slope."""
    value = largest(formula, symbols, inputs, function(*inputs))
    slopes = [
        largest(derivative(formula, s), symbols, inputs, slope(function, *inputs, wanted=i))
        for i, s in enumerate(symbols)
    ]
    return value, max(slopes)


def exhaustive_errors(
    formula: Expr,
    symbols: Sequence[Symbol],
    functions: Mapping[str, Callable],
    count: int = 1 << 22,
    partners: Callable[[Tensor, int], Sequence[Tensor]] = with_partners,
) -> dict[str, tuple[float, float]]:
    """Largest errors of value and slopes of several functions, in ulp, on every finite float32 number.

    Every number is the first input once; `partners` gives the others: `with_partners`, or `paired`. A bar shows how far
    it is. Arguments, results and errors are those of `single_errors_at`.
    """
    import tqdm

    largest = dict.fromkeys(functions, (0.0, 0.0))
    for numbers in tqdm.tqdm(every_float32(count), total=-(-(1 << 32) // count), unit="block"):
        inputs = partners(numbers, len(symbols))
        for name, function in functions.items() if len(numbers) else ():
            errors = single_errors_at(formula, symbols, function, inputs)
            largest[name] = tuple(map(max, largest[name], errors))
    return largest


FEW = 64
"""So many of the inputs with the largest errors are looked at with 50 digits, and so many others."""

DOUBT = 0.01
"""In ulp of float32: by no more may the float64 reference be off where nothing cancels."""


def _largest(expr: Expr, symbols: Sequence[Symbol], inputs: Sequence[Tensor], computed: Tensor) -> float:
    found = _found(expr, symbols, inputs, computed)
    points = [t.double().numpy() for t in inputs]
    count, few = len(found), min(FEW, len(found))

    def certain(at: NDArray) -> NDArray:
        truth = exact(expr, symbols, [p[at] for p in points])
        normal = np.abs(truth[0]) >= torch.finfo(torch.float32).smallest_normal
        return np.where(normal, ulp_error(computed[at], *truth), 0.0)

    some = np.arange(0, count, max(1, count // FEW))
    errors = certain(some)
    with np.errstate(invalid="ignore"):  # both may be infinite
        off = np.abs(errors - found.numpy()[some]) > DOUBT * (1 + errors)
    if off.any():
        at = [p[some][off][0] for p in points]
        raise ArithmeticError(f"the float64 reference of {expr} is not exact enough, at {symbols} = {at}")
    largest = errors.max(initial=0)
    while True:  # next to a zero, where it is less exact, the reference may take more for errors than there are
        worst = found.topk(few)
        largest = max(largest, certain(worst.indices.numpy()).max(initial=0))
        if few == count or worst.values[-1] <= largest + DOUBT or largest == math.inf:
            return float(largest)
        few = min(8 * few, count)


def _found(expr: Expr, symbols: Sequence[Symbol], inputs: Sequence[Tensor], computed: Tensor) -> Tensor:
    """Errors in ulp, in float32, as a reference in float64 sees them."""
    from actlib.elementwise import Elementwise, llvm_runner

    op = Elementwise("reference", symbols, expr)
    if op._has_machine_code:
        head, result = op.torch_source.rsplit("    return ", 1)
        text = head.replace("):", ", computed):", 1) + f"    return ulps(computed, {result.strip()})\n"
        made, kinds = torch.empty(len(computed)), ("float32",) * (len(inputs) + 1)
        kernel = llvm_runner().make(op.name, text, kinds, ("float32",), "double")
        given = [t.detach().contiguous() for t in (*inputs, computed)]
        kernel(len(made), torch.get_num_threads(), made.data_ptr(), *(t.data_ptr() for t in given))
        return made
    truth = op(*(t.double() for t in inputs)).numpy()
    normal = np.abs(truth) >= torch.finfo(torch.float32).smallest_normal
    return torch.from_numpy(np.where(normal, ulp_error(computed, truth), 0.0)).float()


def mixed_errors(
    formula: Expr, symbols: Symbol | Sequence[Symbol], function: Callable, count: int, seed: int = 0
) -> tuple[float, float]:
    """Largest mixed errors of value and slopes in float32, on random bit patterns; see `mixed_errors_at`.

    Arguments, results and errors are those of `single_errors`.
    """
    symbols = (symbols,) if isinstance(symbols, Symbol) else tuple(symbols)
    return mixed_errors_at(formula, symbols, function, paired(random_finite(torch.float32, count, seed), len(symbols)))


def mixed_errors_at(
    formula: Expr, symbols: Sequence[Symbol], function: Callable, inputs: Sequence[Tensor]
) -> tuple[float, float]:
    """Largest mixed errors of value and slopes at float32 inputs.

    The mixed error is the error divided by one ulp of the result plus the effect of one ulp of each input. It judges
    what computes in float32 throughout, as kernels of GPUs do. Results below the smallest normal number are left out.

    The reference is the formula's own generated function in float64. It is trusted no further than it is checked: the
    inputs with the largest errors, and a thousand others, are computed again at 50 digits, and must agree with it.
    Arguments, results and errors are those of `single_errors_at`.
    """
    return _of_value_and_slopes(_largest_mixed, formula, symbols, function, inputs)


def _largest_mixed(expr: Expr, symbols: Sequence[Symbol], inputs: Sequence[Tensor], computed: Tensor) -> float:
    points = [t.double() for t in inputs]
    reference = _in_float64(expr, symbols, points)
    effect = sum(
        np.abs(np.nan_to_num(_in_float64(derivative(expr, s), symbols, points))) * ulp(p.numpy(), torch.float32)
        for s, p in zip(symbols, points, strict=True)
    )
    values = computed.detach().double().numpy()
    errors = _mixed(values, reference, effect)
    worst = np.argpartition(errors, -min(1000, len(errors)))[-1000:]
    checked = np.union1d(worst, np.arange(0, len(errors), max(1, len(errors) // 1000)))
    truth, _ = exact(expr, symbols, [p.numpy()[checked] for p in points])
    normal = np.abs(truth) >= torch.finfo(torch.float32).smallest_normal
    off = np.abs(reference[checked] - truth)[normal] > 1e-3 * ulp(truth, torch.float32)[normal]
    if off.any():
        at = [p.numpy()[checked][normal][off][0] for p in points]
        raise ArithmeticError(f"the float64 reference of {expr} is not exact enough, at {symbols} = {at}")
    return float(_mixed(values[checked], truth, effect[checked]).max())


def _mixed(values: NDArray, truth: NDArray, effect: NDArray) -> NDArray:
    info = torch.finfo(torch.float32)
    with np.errstate(invalid="ignore"):
        error = np.abs(values - truth) / (ulp(truth, torch.float32) + effect)
    error = np.where(np.isinf(values) & (np.abs(truth) > info.max) & (np.sign(values) == np.sign(truth)), 0.0, error)
    error = np.where(np.isfinite(error), error, np.inf)
    return np.where(np.abs(truth) >= info.smallest_normal, error, 0.0)


def _in_float64(expr: Expr, symbols: Sequence[Symbol], points: Sequence[Tensor]) -> NDArray:
    from actlib.elementwise import Elementwise

    return Elementwise("reference", symbols, expr)(*points).numpy()


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table."""
    from actlib.activations import ACTIVATIONS

    parser = argparse.ArgumentParser(prog="python -m actlib.accuracy", description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="functions of the registry (default: all)")
    parser.add_argument("--count", type=int, default=1 << 20, help="random float32 inputs (default: %(default)s)")
    parser.add_argument("--exhaustive", action="store_true", help="all 2^32 float32 inputs instead of random ones")
    chosen = parser.parse_args(arguments)
    unknown = set(chosen.names) - set(ACTIVATIONS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(ACTIVATIONS)}")
    which = "on all float32 numbers" if chosen.exhaustive else "on random float32 bit patterns"
    print(f"Largest error in ulp, on every finite float16 and bfloat16 number and {which}.\n")
    columns = [f"{t} {w}" for t in ("float16", "bfloat16", "float32") for w in ("value", "slope")]
    print(f"{'':24}" + "".join(f"{c:>16}" for c in columns))
    for name in chosen.names or ACTIVATIONS:
        a = ACTIVATIONS[name]
        rows = {f"actlib.{name}": a.entry} | ({f"torch {name}": a.torch_entry} if a.torch else {})
        references = [
            Reference(a.default_formula, a.inputs, *paired(every_finite(t), len(a.inputs)))
            for t in (torch.float16, torch.bfloat16)
        ]
        # The formula of a row cancels in float64 where scores of any size meet.
        partners = paired if a.op is None else with_partners
        single = exhaustive_errors(a.default_formula, a.inputs, rows, partners=partners) if chosen.exhaustive else {}
        few = partners(random_finite(torch.float32, chosen.count), len(a.inputs))
        for label, function in rows.items():
            errors = [e(function).max() for r in references for e in (r.value_errors, r.slope_errors)]
            errors += single.get(label) or single_errors_at(a.default_formula, a.inputs, function, few)
            print(f"{label:24}" + "".join(f"{e:16.4g}" for e in errors), flush=True)


if __name__ == "__main__":
    main()
