"""The registry is right to the last bit; and so is the tool that says so."""

import functools

import mpmath
import numpy as np
import pytest
import sympy as sp
import torch
from formulas import every_activation, every_elementwise, x, y

from actlib import ACTIVATIONS, accuracy, sigmoid, swish
from actlib.accuracy import (
    Reference,
    every_finite,
    every_float32,
    exact,
    paired,
    random_finite,
    single_errors,
    slope,
    ulp,
    ulp_error,
)
from actlib.elementwise import Elementwise
from actlib.formula.primitives import Phi, derivative, elementary, phi, sigma, softplus

# The nearest number is within 0.5 ulp. The rest is what the numbers in which half precision is computed may be off.
HALF = accuracy.BAR

# Of float32 on the CPU: the nearest number, or one beside it.
SINGLE = accuracy.SINGLE_BAR


@functools.cache
def every_input(formula, symbols, dtype):
    return Reference(formula, symbols, *paired(every_finite(dtype), len(symbols)))


def worst(activation, dtype, function):
    """The largest error of value and slopes, in ulp."""
    reference = every_input(activation.default_formula, activation.inputs, dtype)
    return max(reference.value_errors(function).max(), reference.slope_errors(function).max())


# One class each: xdist keeps the tests of a class together, and so balances them.


class TestEveryFloat16:
    @every_activation
    def test_value_and_slope(self, activation):
        assert worst(activation, torch.float16, activation.entry) <= HALF


class TestEveryBfloat16:
    @every_activation
    def test_value_and_slope(self, activation):
        assert worst(activation, torch.bfloat16, activation.entry) <= HALF

    @every_activation
    def test_value_and_slope_when_compiled(self, activation):
        torch.compiler.reset()
        compiled = torch.compile(activation.entry, fullgraph=True, dynamic=True)
        assert worst(activation, torch.bfloat16, compiled) <= HALF
        few = [torch.tensor([1.0, -2.0, 0.5], dtype=torch.bfloat16)] * len(activation.inputs)  # another shape
        torch.testing.assert_close(compiled(*few), activation.entry(*few))
        torch.testing.assert_close(slope(compiled, *few), slope(activation.entry, *few))


def far_out(dtype, count):
    """Numbers where something decays, and in random order as many of all sizes for each further input."""
    every = every_finite(dtype)
    far = every[(every.abs() > 8) & (every.abs() < 600)]
    return far, *paired(every[:: len(every) // len(far)][: len(far)], count)[1:]


@every_elementwise
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_partners_and_gradients_of_any_size(activation, dtype):
    formula, symbols, entry = activation.default_formula, activation.inputs, activation.entry
    for inputs in (paired(every_finite(dtype)[::17], len(symbols) + 1), far_out(dtype, len(symbols) + 1)):
        *inputs, upstream = inputs
        reference = Reference(formula, symbols, *inputs)
        assert reference.value_errors(entry).max() <= HALF
        assert reference.backward_errors(entry, upstream).max() <= HALF


@pytest.mark.parametrize("name", ["silu", "gelu", "gelu_tanh", "gelu_sigmoid", "mish"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_gradients_next_to_zeros_of_slopes(name, dtype):
    """Where most of a slope has cancelled, a factor shows what was lost with it."""
    activation, every = ACTIVATIONS[name], every_finite(dtype)
    slopes = slope(activation.entry, every.double()).abs()
    nearest = every[(slopes > 0) & (every.abs() < 4)][slopes[(slopes > 0) & (every.abs() < 4)].argsort()[:16]]
    upstream = random_finite(dtype, 4096)
    inputs = nearest.repeat_interleave(len(upstream) // len(nearest))[: len(upstream)]
    reference = Reference(activation.default_formula, activation.inputs, inputs)
    assert reference.backward_errors(activation.entry, upstream[: len(inputs)]).max() <= 0.51


@pytest.mark.parametrize("exponent", [-10, -14, -20, 10])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_swish_of_any_beta(exponent, dtype):
    function = lambda v: swish(v, 2.0**exponent)
    reference = Reference(x * sigma(sp.Integer(2) ** exponent * x), x, every_finite(dtype)[::7])
    assert reference.value_errors(function).max() <= HALF
    assert reference.slope_errors(function).max() <= HALF


@pytest.mark.parametrize("exponent", [10, 16, 24, 100, -100])
def test_silu_with_a_gradient_of_any_size(exponent):
    numbers = every_finite(torch.bfloat16)[::7]
    upstream = torch.full_like(numbers, 2.0**exponent)
    assert Reference(x * sigma(x), x, numbers).backward_errors(ACTIVATIONS["silu"].entry, upstream).max() <= HALF


@pytest.mark.parametrize("formula", [1000 * x**2 * sigma(x), 10**9 * x * Phi(x), 10**30 * sigma(x)], ids=str)
def test_large_constants_beside_a_decay(formula):
    op, reference = Elementwise("large", [x], formula), Reference(formula, x, every_finite(torch.bfloat16)[::7])
    assert reference.value_errors(op).max() <= HALF
    assert reference.slope_errors(op).max() <= HALF


@pytest.mark.parametrize("formula", [x * sp.exp(-sp.exp(-x)), x * sp.exp(-sp.exp(x) - x)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_doubly_exponential(formula, dtype):
    op = Elementwise("doubly", [x], formula)  # its slope has factors that overflow before others are 0
    reference = Reference(formula, x, every_finite(dtype)[::7])
    assert reference.value_errors(op).max() <= HALF
    assert reference.slope_errors(op).max() <= HALF


def next_to_zeros(function, formula, symbol):
    """Float32 numbers about each zero of a slope, the nearest first: where it is small, what it lacks counts most."""
    rate = sp.lambdify(symbol, elementary(derivative(formula, symbol)), "mpmath")
    at = torch.linspace(-6, 6, 4097)
    rising = slope(function, at.double()) > 0
    about = (at[1:] + at[:-1])[rising[1:] != rising[:-1]] / 2
    steps = torch.cat([torch.arange(200), 2 ** torch.arange(8, 18, 0.1)]).int()
    steps = torch.cat([steps, -steps])
    zeros = [float(mpmath.findroot(rate, z)) for z in about.tolist() if z]
    return torch.cat([torch.tensor([z]).view(torch.int32) + steps for z in zeros]).view(torch.float32) if zeros else at


class TestRandomFloat32:
    @every_elementwise
    def test_value_and_slope(self, activation):
        judged = activation.default_formula, activation.inputs
        ours = single_errors(*judged, activation.entry, 1 << 20)
        assert max(ours) <= SINGLE
        if activation.torch:
            theirs = single_errors(*judged, activation.torch, 1 << 18)
            assert all(mine <= max(other, HALF) for mine, other in zip(ours, theirs, strict=True))

    @pytest.mark.parametrize("name", [name for name, a in ACTIVATIONS.items() if a.op is None])
    def test_rows(self, name):
        activation = ACTIVATIONS[name]
        reference = Reference(
            activation.default_formula,
            activation.inputs,
            *paired(random_finite(torch.float32, 1 << 13), len(activation.inputs)),
        )
        assert reference.value_errors(activation.entry).max() <= SINGLE
        assert reference.slope_errors(activation.entry).max() <= SINGLE

    @pytest.mark.parametrize("name", ["silu", "gelu", "gelu_tanh", "gelu_sigmoid", "mish"])
    def test_next_to_zeros_of_slopes(self, name):
        activation = ACTIVATIONS[name]
        numbers = next_to_zeros(activation.entry, activation.default_formula, activation.inputs[0])
        assert len(numbers) == 600
        reference = Reference(activation.default_formula, activation.inputs, numbers)
        assert reference.slope_errors(activation.entry).max() <= SINGLE

    @every_elementwise
    def test_gradients_of_any_size(self, activation):
        *inputs, upstream = accuracy.with_partners(random_finite(torch.float32, 3000), len(activation.inputs) + 1)
        reference = Reference(activation.default_formula, activation.inputs, *inputs)
        assert reference.backward_errors(activation.entry, upstream, normal=True).max() <= SINGLE

    @every_activation
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
    def test_tails(self, activation, dtype):
        x = torch.linspace(-85, 85, 341, dtype=dtype)
        reference = Reference(activation.default_formula, activation.inputs, *paired(x, len(activation.inputs)))
        formulas = [activation.default_formula, *(derivative(activation.default_formula, s) for s in reference.symbols)]
        points = [t.double().numpy() for t in reference.inputs]
        computed = [activation.entry(*reference.inputs)]
        computed += [slope(activation.entry, *reference.inputs, wanted=i) for i in range(len(points))]
        for expr, result, truth in zip(formulas, computed, [reference.value, *reference.slopes], strict=True):
            if dtype == torch.float32:
                normal = np.abs(truth[0]) >= torch.finfo(dtype).smallest_normal
                assert ulp_error(result, *truth)[normal].max(initial=0) <= SINGLE
                continue
            rates = [exact(derivative(expr, s), reference.symbols, points)[0] for s in reference.symbols]
            effect = sum(np.abs(rate) * ulp(p, dtype) for rate, p in zip(rates, points, strict=True))
            # A rounding each for an exponential, a sum and a quotient or product, and one to spare.
            mixed = ulp_error(result, *truth) / (1 + effect / ulp(truth[0], dtype))
            assert mixed[np.abs(truth[0]) >= torch.finfo(dtype).smallest_normal].max(initial=0) <= 4


DECAYING = [sigma, softplus, Phi, phi]


class TestPowers:
    """x^n times what decays: float32 loses the digits of the second factor while the product is an ordinary number."""

    def numbers(self, dtype):
        every = every_finite(dtype)
        far = (every.abs() > 10) & (every.abs() < 1000)
        return torch.cat([every[far], every[~far][::29]])

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
    @pytest.mark.parametrize("n", [*range(1, 17), 32, 64, 96])
    def test_every_power(self, n, dtype):
        numbers = self.numbers(dtype)
        for function in DECAYING if n in (2, 3, 4, 5, 16) else [sigma]:
            op = Elementwise("product", [x], x**n * function(x))
            reference = Reference(op.outputs[0], x, numbers)
            assert reference.value_errors(op).max() <= HALF
            assert reference.slope_errors(op).max() <= HALF

    def test_when_compiled(self):
        torch.compiler.reset()
        op = Elementwise("product", [x], x**8 * sigma(x))
        numbers = self.numbers(torch.bfloat16)
        compiled = torch.compile(op, fullgraph=True)
        assert Reference(op.outputs[0], x, numbers).value_errors(compiled).max() <= HALF

    def test_in_float32(self):
        op = Elementwise("product", [x], x**8 * sigma(x))
        far = torch.arange(-200.0, -80.0, 0.37)
        reference = Reference(op.outputs[0], x, far)
        assert reference.value_errors(op).max() <= HALF
        assert op(far).dtype == op.backward(far, far).dtype == torch.float32


def test_every_finite_number_comes_once_in_order():
    for dtype, count in ((torch.float16, 2 * 31 * 1024), (torch.bfloat16, 2 * 255 * 128)):
        numbers = every_finite(dtype)
        assert len(numbers) == len(numbers.view(torch.int16).unique()) == count
        assert (numbers[1:] >= numbers[:-1]).all()
        assert numbers[count // 2 - 1].signbit()  # minus zero comes before zero
        assert numbers[count // 2 - 1] == numbers[count // 2] == 0


def test_random_numbers_are_of_all_magnitudes_and_the_same_on_every_run():
    numbers = random_finite(torch.float32, 10_000)
    assert numbers.shape == (10_000,)
    assert numbers.isfinite().all()
    assert numbers.equal(random_finite(torch.float32, 10_000))
    assert not numbers.equal(random_finite(torch.float32, 10_000, seed=1))
    exponents = np.frexp(numbers.double().numpy())[1]
    assert exponents.min() < -126  # subnormal
    assert exponents.max() == 128


def test_pairs_hold_every_number_of_the_first_input():
    first, second = paired(every_finite(torch.float16), 2)
    assert first.equal(every_finite(torch.float16))
    assert second.sort().values.equal(first)
    assert not second.equal(first)
    for other in paired(every_finite(torch.bfloat16), 3)[1:]:
        assert other.sort().values.equal(every_finite(torch.bfloat16))


@pytest.mark.parametrize(("dtype", "as_numpy"), [(torch.float16, "f2"), (torch.float32, "f4"), (torch.float64, "f8")])
def test_ulp_is_the_distance_to_the_next_number(dtype, as_numpy):
    numbers = random_finite(dtype, 10_000)
    numbers = numbers[numbers.abs() < torch.finfo(dtype).max].numpy()  # the largest has no next
    assert numbers.dtype == as_numpy
    assert (ulp(numbers.astype("f8"), dtype) == np.spacing(np.abs(numbers)).astype("f8")).all()


def test_ulp_by_hand():
    at = np.array([0.0, 1.0, 1.99, -2.0, 3.3e38])
    assert ulp(at, torch.bfloat16).tolist() == [2.0**-133, 2.0**-7, 2.0**-7, 2.0**-6, 2.0**120]
    assert ulp(np.array([65504.0, 2.0**-15]), torch.float16).tolist() == [32.0, 2.0**-24]


def test_error_by_hand():
    computed = torch.tensor([1.0, 1.0, 1.0, 0.0], dtype=torch.bfloat16)
    assert ulp_error(computed, np.array([1.0, 1.0 + 2.0**-7, 1.0 + 2.0**-8, 2.0**-133])).tolist() == [0, 1, 0.5, 1]


def test_error_counts_what_the_nearest_float64_lacks():
    assert ulp_error(torch.tensor([1.0]).double(), np.array([1.0]), np.array([2.0**-54])).tolist() == [0.25]


def test_a_wrong_nan_or_infinity_is_an_infinite_error():
    wrong = torch.tensor([torch.nan, torch.inf, -torch.inf, torch.inf])
    assert np.isinf(ulp_error(wrong, np.array([1.0, 1.0, 1e300, -1e300]))).all()


def test_overflow_is_right_from_half_an_ulp_above_the_largest_number():
    largest, infinite = torch.tensor([65504.0, torch.inf], dtype=torch.float16)
    assert ulp_error(largest[None], np.array([65519.0])) < 0.5
    assert np.isinf(ulp_error(infinite[None], np.array([65519.0])))
    assert ulp_error(infinite[None], np.array([65520.0])) == 0
    assert ulp_error(infinite[None], np.array([np.inf])) == 0


@pytest.mark.parametrize(
    ("formula", "point", "truth"),
    [
        (x / 3, 1.0, sp.Rational(1, 3)),
        (sp.exp(x) - 1, 2.0**-66, sp.Rational(1, 2**66) + sp.Rational(1, 2**133)),  # the next term is 2^-134 of it
        (Phi(x), -20.0, sp.Rational("2.7536241186062336950756227808574e-89")),
        (Phi(x), -50.0, 0),  # 1e-545 in truth
        (softplus(x), -1000.0, 0),
        (x - x**2, 1.0, 0),
    ],
    ids=str,
)
def test_reference_has_twice_the_digits_of_float64(formula, point, truth):
    (high,), (low,) = exact(formula, [x], [np.array([point])])
    assert abs(sp.Rational(float(high)) + sp.Rational(float(low)) - truth) <= truth * sp.Rational(1, 10**30)


@pytest.mark.parametrize(
    "formula", [1 / x, sp.log(x), sp.Piecewise((1, sp.sin(x + 1) ** 2 + sp.cos(x + 1) ** 2 > 1), (0, True))], ids=str
)
def test_reference_gives_up_where_nothing_converges(formula):
    with pytest.raises(ArithmeticError, match=r"no 50 digits at \(0.0,\)"):
        exact(formula, [x], [np.array([0.0])])


@pytest.mark.parametrize("where", ["case", "maximum"])
def test_reference_decides_between_numbers_that_are_close(where):
    excess = sp.exp(x) - 1 - x  # 5e-81 at 1e-40
    formula = sp.Piecewise((1, excess > 0), (2, True)) if where == "case" else sp.Max(excess, 0) / sp.Abs(excess)
    (high,), _ = exact(formula, [x], [np.array([1e-40])])
    assert high == 1


@pytest.mark.parametrize(
    ("relation", "expected"), [(x < 1, 0), (x <= 1, 1), (x > 1, 0), (x >= 1, 1), (sp.Integer(1) < x + 1, 1)], ids=str
)
def test_reference_compares_equal_numbers(relation, expected):
    assert exact(sp.Piecewise((1, relation), (0, True)), [x], [np.array([1.0])])[0].item() == expected


def test_reference_names_a_function_that_it_does_not_know():
    with pytest.raises(ValueError, match=r"no exact reference for zeta in .*: known: exp,"):
        exact(sp.zeta(x) + sp.exp(x), [x], [np.array([2.0])])


def test_gradient_rebuilt_from_a_rounded_output_is_caught():
    inputs = every_finite(torch.bfloat16)
    inputs = inputs[(inputs >= 6.25) & (inputs < 7)]
    reference = Reference(sigma(x), x, inputs)
    assert reference.slope_errors(torch.sigmoid).min() > 100
    assert reference.slope_errors(sigmoid).max() <= HALF


def test_errors_are_sorted_by_what_and_by_function():
    reference = Reference(sigma(x), x, torch.tensor([-100.0, 1.0]))
    errors = reference.errors({"ours": sigmoid, "theirs": torch.sigmoid})
    assert list(errors) == ["value", "slope"]
    assert errors["value"]["ours"].tolist() == reference.value_errors(sigmoid).tolist()
    assert errors["slope"]["theirs"].tolist() == reference.slope_errors(torch.sigmoid).tolist()


def test_slopes_of_several_inputs_count_all():
    inputs = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])
    reference = Reference(x * y, (x, y), *inputs)
    assert reference.value_errors(torch.mul).tolist() == reference.slope_errors(torch.mul).tolist() == [0, 0]
    blind = lambda a, b: a * b.detach() + b * 0
    assert (reference.slope_errors(blind) > 1e6).all()


def test_error_of_an_exact_function_is_one_rounding():
    assert max(single_errors(sigma(x), x, lambda t: sigmoid(t.double()).float(), 1 << 12)) <= 0.5


def test_a_slope_may_be_the_same_everywhere():
    steep = sp.exp(sp.Rational(1, 10)) * x
    assert max(single_errors(steep, x, Elementwise("steep", [x], steep), 1 << 12)) <= 0.5


def test_single_errors_are_those_by_50_digits():
    numbers = torch.linspace(-80, 20, 501)
    computed = accuracy.single_errors_at(sigma(x), (x,), torch.sigmoid, [numbers])
    reference = Reference(sigma(x), x, numbers)
    assert computed == (reference.value_errors(torch.sigmoid).max(), reference.slope_errors(torch.sigmoid).max())


@pytest.mark.parametrize(("wrong", "error"), [(torch.inf, torch.inf), (torch.nan, torch.inf), (0.5 + 2**-23, 2)])
def test_single_errors_catch_one_wrong_number(wrong, error):
    numbers = torch.cat([torch.linspace(-80, 20, 5001), torch.zeros(1)])
    spoilt = lambda t: torch.where(t == 0, wrong, sigmoid(t))
    assert accuracy.single_errors_at(sigma(x), (x,), spoilt, [numbers])[0] == error


def test_single_errors_leave_out_what_is_not_normal_and_what_overflows():
    numbers = torch.tensor([-100.0, -90.0, 88.7, 88.8, 1e30])
    assert accuracy.single_errors_at(sp.exp(x), (x,), lambda t: t.double().exp().float(), [numbers])[0] <= 0.5
    assert accuracy.single_errors_at(sp.exp(x), (x,), lambda t: t.double().exp().float() * 0, [numbers])[0] > 1e6


@pytest.mark.parametrize(
    "errors",
    [
        single_errors,
        lambda formula, symbol, *_: accuracy.exhaustive_errors(formula, (symbol,), {"wrong": torch.abs}),
    ],
    ids=["single", "exhaustive"],
)
def test_errors_do_not_trust_a_float64_formula_that_cancels(errors):
    with pytest.raises(ArithmeticError, match="not exact enough"):
        errors(sp.sqrt(sp.Abs(x) + 1) - 1, x, torch.abs, 1 << 12)


def test_report_has_a_line_for_each_function(capsys, monkeypatch):
    monkeypatch.setattr(accuracy, "every_finite", lambda dtype: every_finite(dtype)[::997])
    accuracy.main(["sigmoid", "--count", "1000"])
    title, _, header, ours, theirs = capsys.readouterr().out.splitlines()
    assert "ulp" in title
    assert header.split()[::2] == ["float16", "float16", "bfloat16", "bfloat16", "float32", "float32"]
    assert ours.startswith("actlib.sigmoid")
    assert theirs.startswith("torch sigmoid")
    assert all(float(e) <= HALF for e in ours.split()[1:5])


def test_every_float32_number_comes_once_in_order_of_its_bits(monkeypatch):
    asked = []
    monkeypatch.setattr(accuracy, "_float32_block", lambda start, count: asked.append((start, count)))
    list(every_float32(3 << 20))
    monkeypatch.undo()
    starts = [start for start, _ in asked]
    assert starts == list(range(-(2**31), 2**31, 3 << 20))
    for start in (starts[0], 0, 1 << 23, starts[-1], (255 << 23) - 100, -(1 << 23) - 100):
        block = accuracy._float32_block(start, 3 << 20)
        bits = np.arange(start, min(start + (3 << 20), 2**31)).astype(np.int32)
        expected = bits.view(np.float32)
        assert np.array_equal(block.view(torch.int32).numpy(), bits[np.isfinite(expected)])


def test_exhaustive_finds_one_wrong_number_among_all(monkeypatch):
    blocks = [random_finite(torch.float32, 5000, seed) for seed in range(3)]
    monkeypatch.setattr(accuracy, "every_float32", lambda count: [*blocks, torch.empty(0)])  # noqa: ARG005
    wrong = lambda t: torch.where(t == blocks[1][77], 2 * sigmoid(t), sigmoid(t))
    errors = accuracy.exhaustive_errors(sigma(x), (x,), {"right": sigmoid, "wrong": wrong})
    assert max(w.error for w in errors["right"]) <= SINGLE
    value, _ = errors["wrong"]
    assert value.error > 1e6
    assert value.at == (blocks[1][77].item(),)


def test_exhaustive_errors_are_those_by_50_digits(monkeypatch):
    blocks = [torch.linspace(-30, 0, 501), torch.linspace(0, 20, 501)]
    monkeypatch.setattr(accuracy, "every_float32", lambda count: blocks)  # noqa: ARG005
    ((value, rate),) = accuracy.exhaustive_errors(sigma(x), (x,), {"torch": torch.sigmoid}).values()
    reference = Reference(sigma(x), x, torch.cat(blocks))
    for worst, errors in (
        (value, reference.value_errors(torch.sigmoid)),
        (rate, reference.slope_errors(torch.sigmoid)),
    ):
        assert worst.error == errors.max()
        assert worst.at == (reference.inputs[0][errors.argmax()].item(),)


@pytest.mark.parametrize("wrong", [torch.inf, torch.nan, -1.0])
def test_exhaustive_tells_several_inputs_apart(monkeypatch, wrong):
    numbers = random_finite(torch.float32, 5000)
    monkeypatch.setattr(accuracy, "every_float32", lambda count: [numbers, numbers])  # noqa: ARG005

    class Product(torch.autograd.Function):
        """Its slope in the second input is wrong where the first is one of the numbers."""

        @staticmethod
        def forward(ctx, a, b):
            ctx.save_for_backward(a, b)
            return a * b

        @staticmethod
        def backward(ctx, upstream):
            a, b = ctx.saved_tensors
            return upstream * b, torch.where(a == numbers[1234], wrong, upstream * a)

    (errors,) = accuracy.exhaustive_errors(x * y, (x, y), {"product": Product.apply}, count=5000).values()
    assert 0.49 < errors[0].error <= 0.5
    assert errors[1].error == 0
    assert errors[2].error == torch.inf if wrong != -1 else errors[2].error > 1e6
    assert errors[2].at[0] == numbers[1234].item()


def test_partners_of_blocks_differ():
    numbers, partners = random_finite(torch.float32, 5000), accuracy._Spread(5000)
    one, other = partners(numbers, 3), partners(numbers, 3)
    assert one[0] is other[0] is numbers
    tensors = [*one[1:], *other[1:]]
    assert all(t.shape == numbers.shape for t in tensors)
    assert not any(a.equal(b) for i, a in enumerate(tensors) for b in tensors[:i])


def test_places_are_scattered():
    places = [accuracy.scattered(i, 100) for i in range(1000)]
    assert set(places) == set(range(100))
    assert len(set(places[:60])) == 60


def test_report_tries_all_numbers_if_asked(capsys, monkeypatch):
    monkeypatch.setattr(accuracy, "every_finite", lambda dtype: every_finite(dtype)[::997])
    monkeypatch.setattr(accuracy, "every_float32", lambda count: [random_finite(torch.float32, 1000)])  # noqa: ARG005
    accuracy.main(["tanh", "--exhaustive"])
    lines = capsys.readouterr().out.splitlines()
    assert "all float32 numbers" in lines[0]
    assert [line.split()[0] for line in lines[3:]] == ["actlib.tanh", "torch"]


def test_report_names_what_it_knows(capsys):
    with pytest.raises(SystemExit):
        accuracy.main(["sigmoyd"])
    message = capsys.readouterr().err
    assert "sigmoyd" in message
    assert all(name in message for name in ACTIVATIONS)


def test_report_keeps_only_what_was_found_on_all_numbers(capsys):
    with pytest.raises(SystemExit):
        accuracy.main(["sigmoid", "--store"])
    assert "--store keeps what --exhaustive finds" in capsys.readouterr().err


def test_profile_has_the_largest_error_of_each_quarter_of_an_octave():
    """Whose ends are the powers of 2 by quarters: 1, 1.19, 1.41, 1.68 and 2."""
    inputs = torch.tensor([1, 1.125, 1.25, 1.375, 1.5, 1.625, 1.75, 1.9375, 2, -1.25], dtype=torch.bfloat16)
    made = accuracy.profile(inputs, np.array([0.1, 0.4, 0.3, 0.2, 0.5, 0.6, 0.8, 0.7, 0.9, 1.5]))
    negative, *places = made.places
    assert np.diff(places).tolist() == [0.25] * 4
    assert negative == -places[1]
    assert made.largest.tolist() == [1.5, 0.4, 0.3, 0.6, 0.8, 0.9]
    assert made.count == 10


def test_a_bar_over_all_numbers_comes_to_its_end(monkeypatch):
    import tqdm

    seen = []

    def bar(blocks, total, unit):  # noqa: ARG001
        seen.append((len([*blocks]), total))
        return []

    monkeypatch.setattr(tqdm, "tqdm", bar)
    monkeypatch.setattr(accuracy, "_float32_block", lambda start, count: (start, count))
    for count in (1 << 24, 3 << 22):
        accuracy.exhaustive_errors(sigma(x), (x,), {"ours": sigmoid}, count=count)
    assert seen == [(256, 256), (342, 342)]
