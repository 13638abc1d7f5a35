"""How exact a function is: its error in ulp against the SymPy formula at 50 digits.

An ulp (unit in the last place) is the distance between neighbouring floating-point numbers at the exact result. The
nearest number is within 0.5 ulp of it, so 0.5 is the best that any function can do.

    python -m actlib.accuracy                          a table over the registry, PyTorch's own functions beside
    python -m actlib.accuracy sigmoid                  of one function
    python -m actlib.accuracy sigmoid --exhaustive     on all 2^32 float32 inputs; a minute or two a function
    python -m actlib.accuracy --exhaustive --store     and keeps what chapter 10 shows of them
"""

import argparse
import ast
import functools
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


BLOCK = 1 << 19
"""So many bit patterns are tried at a time: what is computed of them stays near the processor."""

FINITE = 0x7F800000
"""So many bit patterns of float32, from that of a zero on, are finite numbers of one sign."""


def every_float32(count: int = BLOCK) -> Iterator[Tensor]:
    """Every finite float32 number, in the order of the bit patterns, so many patterns at a time."""
    return (_float32_block(start, count) for start in range(-(1 << 31), 1 << 31, count))


def _float32_block(start: int, count: int) -> Tensor:
    end = min(start + count, 1 << 31)
    ranges = [(max(start, zero), min(end, zero + FINITE)) for zero in (-(1 << 31), 0)]
    bits = [torch.arange(first, after, dtype=torch.int32) for first, after in ranges if first < after]
    return (bits[0] if len(bits) == 1 else torch.cat([torch.empty(0, dtype=torch.int32), *bits])).view(torch.float32)


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
    function = _in_balls(sp.sympify(expr), tuple(symbols))
    high, low = np.empty(len(points[0])), np.empty(len(points[0]))
    for i, point in enumerate(zip(*(p.tolist() for p in points), strict=True)):
        result = function(*point)
        high[i] = float(result)
        low[i] = float(result - high[i]) if np.isfinite(high[i]) else 0.0
    return high, low


@functools.lru_cache(maxsize=64)
def _in_balls(expr: Expr, symbols: tuple[Symbol, ...]) -> Callable:
    return FLINT.require("actlib.balls", "actlib.accuracy.exact").compiled(expr, symbols)


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


def value_and_slopes(function: Callable, *inputs: Tensor) -> list[Tensor]:
    """The results of an elementwise function, and its derivatives in all inputs, by its own backward."""
    inputs = [t.detach().requires_grad_() for t in inputs]
    output = function(*inputs)
    return [output.detach(), *torch.autograd.grad(output, inputs, torch.ones_like(output))]


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
    search = _Search(formula, symbols, {"": function})
    search.look(inputs, FEW)
    value, *slopes = search.worst[""]
    return value.error, max(w.error for w in slopes)


@dataclass(frozen=True)
class Worst:
    """The largest error of a function.

    Attributes:
        error: It, in ulp, by 50 digits.
        at: The inputs there, one for each variable.
    """

    error: float = 0.0
    at: tuple[float, ...] = ()


def exhaustive_errors(
    formula: Expr,
    symbols: Sequence[Symbol],
    functions: Mapping[str, Callable],
    count: int = BLOCK,
    partners: Callable[[Tensor, int], Sequence[Tensor]] | None = None,
) -> dict[str, list[Worst]]:
    """Largest errors of value and slopes of several functions, in ulp, on every finite float32 number.

    Every number is the first input once; `partners` gives the others, as `paired` does: numbers of random bit patterns,
    if it is not given, other ones for each block. Results that are no normal numbers are left out.

    The formula's own machine code in float64 judges every number. An error that it takes for the largest so far is
    computed again by 50 digits, and of each block one input besides, wherever that is: there the two must agree. What
    is returned are errors by 50 digits. No other is larger, but for what float64 lacks: a millionth of an ulp, and next
    to a zero, where terms cancel, some hundredths.

    Args:
        formula: A formula in primitives.
        symbols: Its variables.
        functions: The functions to judge, by name.
        count: So many bit patterns are tried at a time.
        partners: The inputs, of the first of them and of how many there are.

    Returns:
        By name of the function, the largest error of the value, and of the slope in each variable. A bar shows how far
        it is.

    Raises:
        ArithmeticError: The float64 reference disagrees with the 50 digits.
    """
    import tqdm

    search, partners = _Search(formula, symbols, functions), partners or _Spread(count)
    for numbers in tqdm.tqdm(every_float32(count), total=-(-(1 << 32) // count), unit="block"):
        if len(numbers):
            search.look(partners(numbers, len(symbols)), 1)
    return search.worst


class _Spread:
    """Partners for blocks of so many numbers: random bit patterns, from another place on in each block."""

    def __init__(self, count: int):
        self._count = count
        self._turn = 0
        self._many: list[Tensor] = []

    def __call__(self, numbers: Tensor, count: int) -> tuple[Tensor, ...]:
        self._turn += 1
        while len(self._many) < count - 1:
            self._many.append(random_finite(torch.float32, 5 * self._count, 1001 + len(self._many)))
        starts = [scattered(self._turn * i, 4 * self._count) for i in range(1, count)]
        return numbers, *(m[start : start + len(numbers)] for m, start in zip(self._many, starts, strict=False))


def scattered(number: int, below: int) -> int:
    """One of so many places, without order: multiples of the golden ratio."""
    return number * 0x9E3779B1 % (1 << 32) * below >> 32


FEW = 64
"""So many inputs are looked at with 50 digits, besides those with the largest errors."""

DOUBT = 0.01
"""In ulp of float32: by no more may the float64 reference be off where nothing cancels."""

SAME = 1e-6
"""Errors that differ by no more, in parts of themselves or in ulp, are not told apart by the reference."""


class _Search:
    """Looks for the largest errors of functions in float32.

    Attributes:
        worst: Those found so far, by name of the function: of the value, and of the slope in each variable.
    """

    def __init__(self, formula: Expr, symbols: Sequence[Symbol], functions: Mapping[str, Callable]):
        self.symbols = tuple(symbols)
        self.exprs = [formula, *(derivative(formula, s) for s in self.symbols)]
        self.functions = functions
        self.worst = {name: [Worst()] * len(self.exprs) for name in functions}
        self._turn = 0
        self._errors = _in_double(self.exprs, self.symbols, len(functions))

    def look(self, inputs: Sequence[Tensor], few: int) -> None:
        """Looks at inputs; at so many of them by 50 digits, whatever their errors are.

        Raises:
            ArithmeticError: There the float64 reference disagrees.
        """
        computed = [value_and_slopes(f, *inputs) for f in self.functions.values()]
        found = self._errors(inputs, computed)
        self._turn += 1
        step = max(1, len(inputs[0]) // few)
        some = np.arange(scattered(self._turn, step), len(inputs[0]), step)
        for i, expr in enumerate(self.exprs):
            truth = self._truth(expr, inputs, some)
            for name, made, errors in zip(self.functions, computed, found, strict=True):
                certain = _certain(made[i][some], truth)
                self._agree(expr, inputs, some, certain, errors[i].numpy()[some])
                self._keep(name, i, inputs, some, certain)
                self._certify(name, i, inputs, made[i], errors[i])

    def _truth(self, expr: Expr, inputs: Sequence[Tensor], at: NDArray) -> tuple[NDArray, NDArray]:
        return exact(expr, self.symbols, [t[at].double().numpy() for t in inputs])

    def _agree(self, expr: Expr, inputs: Sequence[Tensor], at: NDArray, certain: NDArray, found: NDArray) -> None:
        with np.errstate(invalid="ignore"):  # both may be infinite
            near = np.abs(certain - found) <= DOUBT * (1 + certain)
        off = ~np.where(np.isfinite(certain), near, certain == found)
        if off.any():
            place = [t[at][off][0].item() for t in inputs]
            raise ArithmeticError(f"the float64 reference of {expr} is not exact enough, at {self.symbols} = {place}")

    def _certify(self, name: str, i: int, inputs: Sequence[Tensor], made: Tensor, found: Tensor) -> None:
        """Looks at errors beyond the largest so far by 50 digits, until none is left."""
        count, few = len(found), FEW // 8
        # Next to a zero, where it is less exact, the reference may take more for errors than there are.
        while found.max() > self._bound(name, i):
            worst = found.topk(min(few, count))
            at = worst.indices[worst.values > self._bound(name, i)].numpy()
            self._keep(name, i, inputs, at, _certain(made[at], self._truth(self.exprs[i], inputs, at)))
            if few >= count or worst.values[-1] <= self._bound(name, i):
                break
            few *= 8

    def _bound(self, name: str, i: int) -> float:
        error = self.worst[name][i].error
        return error + SAME * (1 + error)

    def _keep(self, name: str, i: int, inputs: Sequence[Tensor], at: NDArray, errors: NDArray) -> None:
        if errors.max(initial=0) > self.worst[name][i].error:
            place = at[errors.argmax()]
            self.worst[name][i] = Worst(float(errors.max()), tuple(t[place].item() for t in inputs))


def _certain(computed: Tensor, truth: tuple[NDArray, NDArray]) -> NDArray:
    """Errors in ulp, infinite from where float32 ends, 0 where true results are not normal."""
    info = torch.finfo(torch.float32)
    errors = np.where(np.abs(truth[0]) >= info.smallest_normal, ulp_error(computed, *truth), 0.0)
    return np.where(errors > info.max, np.inf, errors)


def _in_double(exprs: Sequence[Expr], symbols: Sequence[Symbol], functions: int) -> Callable:
    """What gives errors in ulp, in float32, as a reference in float64 sees them.

    Args:
        exprs: The formulas.
        symbols: Their variables.
        functions: How many functions compute them.

    Returns:
        A function of the inputs and, for each function, of what it has computed, a tensor a formula. It gives errors
        likewise.
    """
    from actlib.elementwise import Elementwise, llvm_runner

    op = Elementwise("reference", symbols, exprs)
    if not op._has_machine_code:

        def evaluate(inputs, computed):
            truths = [torch.as_tensor(t).numpy() for t in _several(op(*(t.double() for t in inputs)))]
            return [
                [torch.from_numpy(_certain(c, (t, 0.0))).float() for c, t in zip(made, truths, strict=True)]
                for made in computed
            ]

        return evaluate

    count = functions * len(exprs)
    kinds = ("float32",) * (len(symbols) + count)
    text = _with_errors(op.torch_source, functions)
    kernel = llvm_runner().make(op.name, text, kinds, ("float32",) * count, "double")

    def run(inputs, computed):
        given = [t.detach().contiguous() for t in (*inputs, *(c for made in computed for c in made))]
        errors = torch.empty(functions, len(exprs), len(given[0]))
        places = [e.data_ptr() for made in errors for e in made]
        kernel(len(given[0]), torch.get_num_threads(), *places, *(t.data_ptr() for t in given))
        return errors

    return run


def _several(results: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return results if isinstance(results, tuple) else (results,)


def _with_errors(source: str, functions: int) -> str:
    """The source of a function that is given, besides, its results by so many others, and returns their errors."""
    tree = ast.parse(source)
    (function,) = tree.body
    result = function.body[-1].value
    results = result.elts if isinstance(result, ast.Tuple) else [result]
    truths = [ast.Name(f"truth{i}") for i in range(len(results))]
    function.body[-1:] = [ast.Assign([t], r, lineno=0) for t, r in zip(truths, results, strict=True)]
    computed = [f"computed{i}" for i in range(functions * len(results))]
    function.args.args += [ast.arg(name) for name in computed]
    errors = [
        ast.Call(ast.Name("ulps"), [ast.Name(c), t], []) for c, t in zip(computed, truths * functions, strict=True)
    ]
    function.body.append(ast.Return(ast.Tuple(errors) if len(errors) > 1 else errors[0]))
    return ast.unparse(tree)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table."""
    from actlib.activations import ACTIVATIONS

    parser = argparse.ArgumentParser(prog="python -m actlib.accuracy", description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="functions of the registry (default: all)")
    parser.add_argument("--count", type=int, default=1 << 20, help="random float32 inputs (default: %(default)s)")
    parser.add_argument("--exhaustive", action="store_true", help="all 2^32 float32 inputs instead of random ones")
    parser.add_argument("--store", action="store_true", help="keep these, of elementwise functions, for the book")
    chosen = parser.parse_args(arguments)
    if chosen.store and not chosen.exhaustive:
        parser.error("--store keeps what --exhaustive finds")
    unknown = set(chosen.names) - set(ACTIVATIONS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(ACTIVATIONS)}")
    which = "on all float32 numbers" if chosen.exhaustive else "on random float32 bit patterns"
    print(f"Largest error in ulp, on every finite float16 and bfloat16 number and {which}.\n")
    columns = [f"{t} {w}" for t in ("float16", "bfloat16", "float32") for w in ("value", "slope")]
    print(f"{'':24}" + "".join(f"{c:>16}" for c in columns))
    # Of rows nothing is kept.
    for name in chosen.names or [n for n, a in ACTIVATIONS.items() if a.op is not None or not chosen.store]:
        a = ACTIVATIONS[name]
        rows = {"actlib": a.entry} | ({"torch": a.torch_entry} if a.torch else {})
        references = [
            Reference(a.default_formula, a.inputs, *paired(every_finite(t), len(a.inputs)))
            for t in (torch.float16, torch.bfloat16)
        ]
        # The formula of a row cancels in float64 where scores of any size meet.
        partners = paired if a.op is None else None
        single = exhaustive_errors(a.default_formula, a.inputs, rows, partners=partners) if chosen.exhaustive else {}
        if chosen.store and a.op is not None:
            from actlib.book import float32

            float32.store(a, single)
        few = (partners or with_partners)(random_finite(torch.float32, chosen.count), len(a.inputs))
        for who, function in rows.items():
            errors = [e(function).max() for r in references for e in (r.value_errors, r.slope_errors)]
            if chosen.exhaustive:
                value, *slopes = single[who]
                errors += [value.error, max(w.error for w in slopes)]
            else:
                errors += single_errors_at(a.default_formula, a.inputs, function, few)
            label = f"{who}{'.' if who == 'actlib' else ' '}{name}"
            print(f"{label:24}" + "".join(f"{e:16.4g}" for e in errors), flush=True)


if __name__ == "__main__":
    main()
