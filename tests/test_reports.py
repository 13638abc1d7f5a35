"""Situations from public reports on activation functions: here each comes out right, or is refused in words.

Each bears the repository and the number of the report that it is from. Where one was found wrong here, its kind stands
in a table of its own.
"""

import gc
import math
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
import sympy as sp
import torch
from formulas import every_activation, x
from torch import inf, nan, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

import actlib
from actlib import ACTIVATIONS, Elementwise
from actlib.elementwise import FLOATS

a, y = sp.symbols("a y", real=True)
SITUATIONS = {}


def report(name):
    """Names the report that a situation is from."""

    def enter(situation):
        SITUATIONS[f"{name} {situation.__name__}"] = situation
        return situation

    return enter


def derived(function, *inputs):
    """Value and gradients."""
    leaves = [t.detach().clone().requires_grad_() for t in inputs]
    value = function(*leaves)
    return value.detach(), *torch.autograd.grad(value, leaves, torch.ones_like(value))


def assert_derived(function, inputs, value, *slopes, **close):
    for ours, theirs in zip(derived(function, *inputs), (value, *slopes), strict=True):
        theirs = torch.as_tensor(theirs, dtype=ours.dtype)
        torch.testing.assert_close(ours, theirs, equal_nan=True, **(close or {"rtol": 2e-6, "atol": 1e-44}))


def numbers(*values, dtype=torch.float32):
    return torch.tensor(values, dtype=dtype)


@report("pytorch#171249")
@report("pytorch#180193")
def softplus_as_good_as_relu():
    for threshold in (1e30, inf):
        function = lambda t, threshold=threshold: actlib.softplus(t, 1e30, threshold)
        assert_derived(function, [numbers(0.5, -1, 2)], (0.5, 0, 2), (1, 0, 1))


@report("pytorch#83169")
def softplus_without_sharpness():
    for beta in (0, 0.0, -0.0, 1e-300):
        for made in (actlib.softplus, lambda _, beta: actlib.Softplus(beta)):
            with pytest.raises(ValueError, match=f"softplus: beta must not be 0, .* but {beta!r} came"):
                made(numbers(1), beta=beta)


@report("pytorch#31110")
def threshold_is_of_beta_x():
    t = torch.linspace(-1, 1, 81)
    assert_derived(lambda t: actlib.softplus(t, 10, 0.4), [t], *derived(lambda t: functional.softplus(t, 10, 0.4), t))


@report("burn#5373")
def softplus_of_large_numbers():
    assert_derived(lambda t: actlib.softplus(t, 5), [numbers(20, 50, 100, -100)], (20, 50, 100, 0), (1, 1, 1, 0))


@report("pytorch#148065")
def celu_between_relu_and_identity():
    t = numbers(2, -2, 0)
    assert_derived(lambda t: actlib.celu(t, 1e30), [t], (2, -2, 0), (1, 1, 1))
    assert_derived(lambda t: actlib.celu(t, 1e-30), [t], (2, -1e-30, 0), (1, 0, 1))
    for dtype in FLOATS:
        with pytest.raises(ValueError, match=r"celu: alpha must not be 0, .* but 0.0 came"):
            actlib.celu(t.to(dtype), 0.0)
        for none in (Fraction(0), np.float32(0)):
            with pytest.raises(ValueError, match=r"celu: alpha must not be 0"):
                actlib.celu(t.to(dtype), none)
            with pytest.raises(ValueError, match=r"softplus: beta must not be 0"):
                actlib.softplus(t.to(dtype), none)


@report("pytorch#47671")
@report("onnx#4081")
def elu_with_a_negative_alpha():
    t = torch.linspace(-2, 2, 9)
    value = torch.where(t > 0, t, -2 * torch.expm1(t))
    slope = torch.where(t > 0, 1, -2 * torch.exp(t))
    for inplace in (False, True):
        assert_derived(lambda t, i=inplace: actlib.elu(t * 1, -2, i), [t], value, slope)


@report("pytorch#31938")
@report("pytorch#37345")
def leaky_relu_in_place():
    for slope in (-2.0, 0.0, 0):
        function = lambda t, slope=slope: actlib.leaky_relu(t * 1, slope, inplace=True)
        assert_derived(function, [numbers(-1, 1, 0)], (-slope, 1, 0), (slope, 1, slope))


@report("pytorch#31829")
def infinities_have_gradients():
    assert_derived(actlib.logsigmoid, [numbers(-inf, inf, -200)], (-inf, 0, -200), (1, 0, 1))
    row = numbers(-inf, 0)
    assert_derived(lambda t: actlib.softmax(t, -1), [row], (0, 1), (0, 0))
    assert_derived(lambda t: actlib.log_softmax(t, -1), [row], (-inf, 0), (1, -1))


@report("mindspore#378")
def a_row_with_nan_is_nan():
    rows = torch.tensor([[nan, inf, -inf], [1, 2, 3]])
    for dtype in FLOATS:
        for function in (actlib.softmax, actlib.log_softmax):
            assert function(rows.to(dtype), 1).isnan().tolist() == [[True] * 3, [False] * 3]


@report("jax#40409")
def log_softmax_of_many_halves():
    scores = torch.randn(1 << 17).half()
    _, slope = derived(lambda t: actlib.log_softmax(t, -1), scores)
    exact = 1 - len(scores) * torch.softmax(scores.double(), -1)
    assert ((slope.double() - exact).abs() <= exact.abs() * 2**-10 + 2**-14).all()


@report("jax#16208")
@report("keras#21123")
def what_a_mask_leaves_out():
    scores, mask = torch.randn(3, 4), torch.tensor([[False] * 4, [True, False] * 2, [True] * 4])
    value, slope = derived(lambda t: actlib.softmax(t, -1, where=mask).square(), scores)
    assert (value[~mask] == 0).all()
    assert (slope[~mask] == 0).all()
    torch.testing.assert_close(value.sqrt().sum(-1), numbers(0, 1, 1))
    assert (actlib.log_softmax(scores, -1, where=mask)[~mask] == -inf).all()


@report("jax#17070")
def entropy_of_what_is_left():
    mask = torch.tensor([True, False, True, False, True])

    def entropy(t):
        shares = actlib.softmax(t, 0, where=mask)
        shares = shares * shares.sum() ** -1
        return (shares * -torch.log2(torch.where(mask, shares, 1))).sum()

    _, slope = derived(entropy, torch.randn(5))
    assert slope.isfinite().all()
    assert (slope[~mask] == 0).all()


TAILS = {
    "tt-metal#55717 silu": (actlib.silu, [-87, -87.34, -88, -90, -91.8]),
    "tt-metal#55717 mish": (actlib.mish, [-87, -87.34, -88, -90, -91.8]),
    "tt-metal#45520 softplus": (lambda t: actlib.softplus(t, 0.5), [-170, -174, -174.6]),
    "tt-metal#35290 gelu": (actlib.gelu, [-12, -10, -7, -5.5625, -5.5, -5.375, -4, 1e-37, 1e-30, 1e-20, 1e-10, 1e-4]),
}


@pytest.mark.parametrize("name", TAILS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_tails(name, dtype):
    function, points = TAILS[name]
    t = torch.tensor(points, dtype=dtype)
    for ours, exact in zip(derived(function, t), derived(function, t.double()), strict=True):
        off = (ours.double() - exact).abs() / exact.abs()
        assert off.max() <= (2**-18 if dtype == torch.float32 else 2**-8)


@report("jax#37821")
def relu_of_the_smallest_numbers():
    assert_derived(actlib.relu, [numbers(1e-45, -1e-45, 0.0, -0.0)], (1e-45, 0, 0, 0), (1, 0, 0, 0))


@report("kernels-community#106")
@report("vllm#3324")
def halves_of_a_packed_tensor():
    gate, value = torch.randn(4, 2304).chunk(2, -1)
    torch.testing.assert_close(actlib.gelu(gate), functional.gelu(gate))
    torch.testing.assert_close(actlib.swiglu(gate, value), functional.silu(gate) * value)


@report("Liger-Kernel#959")
def geglu_is_about_as_near_as_torch():
    gate, value = torch.randn(2, 4096)
    exact = functional.gelu(gate.double(), approximate="tanh") * value.double()
    torchs = functional.gelu(gate, approximate="tanh") * value
    off = lambda made: (made.double() - exact).abs().max()
    assert off(actlib.geglu(gate, value, approximate="tanh")) <= 2 * off(torchs)


@report("pytorch#161186")
def checkpoints_leave_nothing_behind():
    leaf = nn.Parameter(torch.randn(64))

    def left():
        checkpoint(actlib.gelu, leaf, use_reentrant=False).sum().backward()
        checkpoint(lambda t: actlib.softmax(t, -1), leaf, use_reentrant=False).sum().backward()
        leaf.grad = None
        gc.collect()
        return sum(issubclass(type(o), torch.Tensor) for o in gc.get_objects())

    left()
    assert left() == left()


@report("apex#217")
def prelu_of_halves_with_weights_in_full():
    t, weight = torch.randn(2, 3).half(), torch.rand(3)
    _, by_t, by_weight = derived(actlib.prelu, t, weight)
    assert (by_t.dtype, by_weight.dtype) == (torch.float16, torch.float32)


@report("xformers#1046")
def types_that_differ_in_autocast():
    layer = actlib.SwiGLU(8, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for t in (torch.randn(2, 8), torch.randn(2, 8).bfloat16()):
            assert layer(t).dtype == torch.bfloat16
        with pytest.raises(ValueError, match=r"swiglu: the inputs must have the same dtype, but gate has .*float32"):
            actlib.swiglu(torch.randn(2), torch.randn(2).bfloat16())


@report("pytorch#61519")
def backward_hooks():
    for layer in (actlib.ReLU(), actlib.Swish(learnable=True), actlib.SwiGLU(3, 3), actlib.LogSoftmax(-1)):
        model, heard = nn.Sequential(nn.Linear(3, 3), layer), []
        layer.register_full_backward_hook(lambda *_, heard=heard: heard.append("after"))
        layer.register_full_backward_pre_hook(lambda *_, heard=heard: heard.append("before"))
        model(torch.randn(2, 3)).sum().backward()
        assert heard == ["before", "after"]
    model = nn.Sequential(nn.Linear(3, 3), actlib.ReLU(inplace=True))
    model[1].register_full_backward_hook(lambda *_: None)
    with pytest.raises(RuntimeError, match="is a view and is being modified inplace"):  # as torch.nn.ReLU's
        model(torch.randn(2, 3))


@report("pytorch#34429")
@report("vision#807")
def in_place_twice_and_added_to():
    leaf = torch.randn(9, requires_grad=True)
    made = actlib.relu(actlib.relu(leaf * 1, inplace=True), inplace=True)
    made += torch.ones(9)
    made.sum().backward()
    assert torch.equal(leaf.grad, (leaf > 0).float())


@report("pytorch#147801")
@report("pytorch#51408")
@report("attorch#16")
def slopes_at_the_ends_of_ramps():
    assert_derived(actlib.hardswish, [numbers(-3, 3, -2, 2)], (0, 3, -1 / 3, 5 / 3), (0, 1, -1 / 6, 7 / 6))
    assert_derived(actlib.hardsigmoid, [numbers(-3, 3, -5, 0)], (0, 1, 0, 0.5), (0, 0, 0, 1 / 6))
    assert_derived(actlib.relu6, [numbers(0, 6, 3)], (0, 6, 3), (0, 0, 1))


@report("mindspore#381")
@report("burn#5609")
@report("tensorflow#119628")
def nan_is_not_clamped_away():
    for name in ("relu", "relu6", "hardsigmoid", "hardswish", "leaky_relu", "elu"):
        value, slope = derived(getattr(actlib, name), numbers(nan, 1))
        assert value.isnan().tolist() == slope.isnan().tolist() == [True, False], name


@report("pytorch#30572")
@report("pytorch#102723")
def softmax_of_halves_in_full():
    for dtype in (torch.float16, torch.bfloat16):
        for dim in (0, 1, -1):
            function = lambda t, d=dim: actlib.softmax(t, d, torch.float32).square()
            value, slope = derived(function, torch.rand(2, 2, 2).to(dtype))
            assert (value.dtype, slope.dtype) == (torch.float32, dtype)


@report("pytorch#162350")
def backward_through_a_tangent():
    for activation in ACTIVATIONS.values():
        leaf = torch.randn(3, 6, requires_grad=True)
        with torch.autograd.forward_ad.dual_level():
            dual = torch.autograd.forward_ad.make_dual(leaf, torch.randn(3, 6))
            given = [dual] * (1 if activation.op is None else len(activation.inputs))
            made = activation.function(*given, *([-1] if activation.op is None else []))
            made = made + torch.autograd.forward_ad.unpack_dual(made).tangent
            torch.autograd.forward_ad.unpack_dual(made).primal.sum().backward()
        assert leaf.grad.isfinite().all(), activation.name


@report("pytorch#95057")
@report("functorch#861")
def forward_over_reverse():
    t = torch.randn(4, dtype=torch.float64)
    log1pexp = lambda t: torch.log1p(torch.exp(t))
    by_hand = {actlib.logsigmoid: lambda t: -log1pexp(-t), actlib.softplus: log1pexp}
    for pair in by_hand.items():
        ours, theirs = (torch.func.hessian(lambda t, f=f: f(t).square().sum())(t) for f in pair)
        torch.testing.assert_close(ours, theirs)


@report("prime-rl#2365")
@report("pith-train#23")
def clamps_of_interleaved_gates():
    def by_torch(packed):
        gate, value = packed[..., ::2].clamp(max=7), packed[..., 1::2].clamp(-7, 7)
        return gate * torch.sigmoid(1.702 * gate) * (value + 1)

    packed = torch.cat([torch.randn(4, 14) * 8, torch.full((4, 1), 7.0), torch.full((4, 1), -7.0)], 1)
    ours = derived(lambda t: actlib.clamped_swiglu(t[..., ::2], t[..., 1::2], 1.702, 1, 7), packed)
    for made, theirs in zip(ours, derived(by_torch, packed), strict=True):
        torch.testing.assert_close(made, theirs, rtol=1e-5, atol=1e-5)


@report("fak#4837")
def limits_that_are_none():
    for limit in (nan, -1, 0):
        with pytest.raises(ValueError, match=f"clamped_swiglu: limit must be above 0, but {limit} came"):
            actlib.clamped_swiglu(torch.ones(2), torch.ones(2), limit=limit)


@report("sympy#18636")
@report("sympy#23738")
def steps_in_formulas():
    step = Elementwise("step", [x], x * sp.Heaviside(x))
    assert_derived(step, [numbers(-1, 0, 2)], (0, 0, 2), (0, 0.5, 1))


@report("sympy#26663")
@report("sympy#9339")
def what_no_code_can_be_made_of():
    f = sp.Function("f")(x)
    for formula in (sp.DiracDelta(x), sp.Derivative(f, x), f, sp.gamma(x), sp.Mod(x, 2)):
        with pytest.raises(ValueError, match=r"came, of|no backend implements"):
            Elementwise("f", [x], formula)


@report("DeepSpeed#8590")
@report("triton#1058")
def offsets_beyond_thirty_two_bits():
    assert "tl.program_id(0).to(tl.int64)" in ACTIVATIONS["gelu"].op.triton_source()


@report("pytorch#152088")
def an_infinite_slope_that_is_not_chosen():
    root = Elementwise("root", [x], sp.sqrt(x))
    leaf = numbers(0, 4).requires_grad_()
    root(leaf)[leaf > 0].sum().backward()
    assert leaf.grad[1] == 0.25
    bent = Elementwise("bent", [x], sp.Piecewise((sp.sqrt(x), x > 0), (x, True)))
    assert_derived(bent, [numbers(-1, 0, 4)], (-1, 0, 2), (1, 1, 0.25))


@report("tensorflow#6590")
@report("tensorflow#7689")
def every_dimension_of_a_row():
    t = torch.randn(2, 3, 4)
    for dim in range(-3, 3):
        torch.testing.assert_close(actlib.softmax(t, dim), torch.softmax(t, dim))
        empty = torch.empty(2, 0, 3, requires_grad=True)
        assert actlib.softmax(empty, dim).shape == empty.shape


@pytest.mark.parametrize("name", SITUATIONS)
def test_report(name):
    SITUATIONS[name]()


n = sp.Symbol("n", integer=True, positive=True)
CONSTANTS = {
    "an integral": (sp.Integral(sp.exp(-(y**2)), (y, 0, 1)), 0.7468241328124271),
    "a sum": (sp.Sum(1 / n**2, (n, 1, sp.oo)), math.pi**2 / 6),
    "a product": (sp.Product(1 + 1 / n**2, (n, 1, 5)), 2 * 1.25 * (10 / 9) * (17 / 16) * (26 / 25)),
    "Bessel's function": (sp.besselj(0, 1), 0.7651976865579665),
    "an exponential integral": (sp.Ei(1), 1.8951178163559368),
    "zeta": (sp.zeta(3), 1.2020569031595942),
    "gamma": (sp.gamma(sp.Rational(1, 3)), 2.678938534707748),
    "Lambert's function": (sp.LambertW(1), 0.5671432904097838),
    "an angle": (sp.asin(sp.Rational(1, 3)), math.asin(1 / 3)),
    "Euler's constant": (sp.EulerGamma, 0.5772156649015329),
}


@pytest.mark.parametrize("name", CONSTANTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_constants_that_sympy_can_put_a_number_to(name, dtype):
    """As in sympy#9339, a formula was accepted and then named what no code knows."""
    constant, number = CONSTANTS[name]
    for formula, value, slope in ((x + constant, 2 + number, 1), (x * constant, 2 * number, number)):
        made = Elementwise("made", [x], formula)
        assert_derived(made, [numbers(2, dtype=dtype)], [value], [slope], rtol=4 * torch.finfo(dtype).eps, atol=0)
        assert type(constant).__name__ not in made.triton_source()


@pytest.mark.parametrize("constant", [sp.UnevaluatedExpr(3), sp.nan, sp.zoo, sp.I], ids=str)
def test_constants_that_are_no_real_number(constant):
    class_ = type(constant).__name__
    with pytest.raises(ValueError, match=f"a formula has real values, but .* came in .*, of {class_}$"):
        Elementwise("made", [x], sp.Add(x, constant, evaluate=constant in (sp.nan, sp.zoo)))


FORMULAS = {
    "one": [x],
    "an input and itself": [x, x],
    "twice the same": [x**2, x**2],
    "a parameter": [a],
    "all": [x, a, x, a * x, a * x],
}


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_results_have_memory_of_their_own(name, dtype):
    """In float64, the result of x was x itself, and those of two equal formulas one."""
    made = Elementwise("made", [x], FORMULAS[name], [a])
    leaves = [torch.randn(3, 4, dtype=dtype, requires_grad=True) for _ in range(2)]
    given = [t * 1 for t in leaves]
    results = made(*given)
    results = [results] if len(FORMULAS[name]) == 1 else results
    before = [t.detach().clone() for t in (*given, *results)]
    for i, result in enumerate(results):
        result.add_(i + 1)
    for i, (t, old) in enumerate(zip((*given, *results), before, strict=True)):
        assert torch.equal(t.detach(), old + max(0, i - 1)), i
    sum(results).sum().backward()


@pytest.mark.parametrize("name", ["softplus", "celu", "elu", "leaky_relu", "swish", "swiglu"])
@pytest.mark.parametrize("number", [1e39, -1e39, 10**39, 1e300], ids=repr)
def test_numbers_that_float32_cannot_hold(name, number):
    """They would become infinite, and NaN where they meet a 0; torch refuses them as well."""
    activation = ACTIVATIONS[name]
    for dtype in FLOATS:
        given = [torch.zeros(3, dtype=dtype)] * len(activation.inputs)
        if dtype == torch.float64:
            assert activation.function(*given, number).isfinite().all()
            continue
        with pytest.raises(ValueError, match=rf"^{name}: \w+ must be a number that float32 can hold, but .* came"):
            activation.function(*given, number)
        assert activation.function(*given, math.copysign(3.4e38, number)).isfinite().all()


@every_activation
@pytest.mark.filterwarnings("ignore:.*(prototype|MaskedTensor)")
def test_classes_that_lack_operations_are_named(activation):
    """As torch.masked's, with which torch's own functions fail inside."""
    t = torch.masked.masked_tensor(torch.randn(3), torch.tensor([True, False, True]))
    given = [t] * (1 if activation.op is None else len(activation.inputs))
    made = refused = None
    try:
        made = activation.function(*given, *([-1] if activation.op is None else []))
    except TypeError as error:
        refused = str(error)
    if refused is not None:
        assert "whose class knows all of torch's operations is expected, but a MaskedTensor came" in refused
    else:
        plain = activation.function(*[t.get_data()] * len(given))
        torch.testing.assert_close(made.get_data(), plain)


COMPILED = {
    "a backward pass in a compiled function": """
        made = function(leaf)
        step(made)
    """,
    "a compiled backward pass": """
        torch._dynamo.config.compiled_autograd = True
        made = function(leaf)
        step(made)
    """,
    "a function that was given up": """
        torch.compile(lambda t: step.__wrapped__(function(t)), backend="eager")(leaf)
    """,
}


@pytest.mark.parametrize("name", COMPILED)
def test_machine_code_is_not_looked_into(name):
    """In a process of its own: what torch.compile makes over drops tensors whose memory is still written to."""
    body = COMPILED[name].replace("\n", "\n    ")
    program = f"""
import functools, torch, actlib
limit = "recompile_limit" if hasattr(torch._dynamo.config, "recompile_limit") else "cache_size_limit"
torch._dynamo.config.patch(**{{limit: 1}}).__enter__()
weights = lambda made: torch.linspace(-1, 2, made.numel()).reshape(made.shape).to(made.dtype)
def plain(made):
    (made * weights(made)).transpose(0, -1).mul(2).sum().backward()
@functools.wraps(plain)
@torch.compile(backend="eager")
def step(made):
    torch._dynamo.graph_break()
    plain(made)
rows = [functools.partial(f, dim=-1) for f in (actlib.softmax, actlib.log_softmax)]
packed = functools.partial(actlib.swiglu, layout="halves")
for function in [actlib.gelu, actlib.Swish(learnable=True), packed, *rows]:
    for shape in ((3, 4), (64,), (2, 3, 4), (7, 900), (2, 5, 7, 6 if function is packed else 3)):
        for dtype in (torch.float32, torch.bfloat16):
            leaf = torch.randn(shape).to(dtype).requires_grad_()
            plain(function(leaf))
            expected, leaf.grad = leaf.grad, None
{body}
            assert torch.equal(leaf.grad, expected), (function, shape, dtype)
"""
    command = [sys.executable, "-W", "ignore", "-c", program]
    ended = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
