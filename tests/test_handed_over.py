"""What torch can hand over, times every function: each comes out as from plain tensors, or is refused in words.

Representations of a tensor, modes that are in force, transforms and tracers. What could end the process runs in one of
its own.
"""

import contextlib
import copy
import fractions
import pickle
import re
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from formulas import every_activation
from torch import fx, nn
from torch._subclasses import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.overrides import TorchFunctionMode
from torch.testing._internal.two_tensor import TwoTensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

import actlib
from actlib import ACTIVATIONS, differentiable
from actlib.activations import softmax
from actlib.backends import calls, torch_runner

SHAPE = (4, 6)
FEW_ULP = {"rtol": 2e-6, "atol": 1e-6}
"""Torch's operations, with which most of this is computed, round more often than machine code."""


def call(activation):
    """The public function of its inputs alone; of rows along dimension 1."""
    if activation.op is None:
        return lambda x: activation.function(x, -1)
    return activation.function


def numbers(activation, dtype=torch.float32):
    """Inputs, at kinks and in tails too."""
    grid = torch.tensor([-100, -20, -3, -1, -0.5, -0.0, 0, 0.25, 1, 3, 6, 20], dtype=torch.float64)
    count = len(activation.inputs) if activation.op is not None else 1
    return [torch.cat([grid.roll(i), grid.flip(0) * 0.9]).reshape(SHAPE).to(dtype) for i in range(count)]


def sent(result):
    """An upstream gradient."""
    return torch.linspace(-1, 2, result.numel(), dtype=result.dtype).reshape(result.shape)


def derivatives(function, given, upstream=sent):
    """Value and gradients at leaves with the given numbers."""
    leaves = [t.detach().clone().requires_grad_() for t in given]
    result = function(*leaves)
    return [result.detach(), *torch.autograd.grad(result, leaves, upstream(result))]


def assert_same(ours, theirs, **close):
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, equal_nan=True, **(close or FEW_ULP))


class Named(torch.Tensor):
    """A class of its own, with torch's functions."""


class Silent(torch.Tensor):
    """A class whose results are plain."""

    __torch_function__ = torch._C._disabled_torch_function_impl


def negated(t):
    return torch.complex(t, -t).conj().imag


REPRESENTATIONS = {
    "plain": lambda t: t,
    "negated on reading": negated,
    "real part of a conjugate": lambda t: torch.complex(t, t).conj().real,
    "transposed": lambda t: t.mT.contiguous().mT,
    "every second": lambda t: torch.stack([t, t + 1], -1)[..., 0],
    "a window": lambda t: nn.functional.pad(t, (1, 2, 3, 1))[3:-1, 1:-2],
    "expanded": lambda t: t[:1].expand(SHAPE),
    "one number": lambda t: t[0, 3].expand(SHAPE),
    "overlapping": lambda t: t.flatten().as_strided(SHAPE, (2, 1)),
    "without dimensions": lambda t: t[1, 2],
    "empty": lambda t: t[:0],
    "of another class": lambda t: t.as_subclass(Named),
    "of a class without functions": lambda t: t.as_subclass(Silent),
    "two in one": lambda t: TwoTensor(t, t.clone()),
    "copied on writing": torch._lazy_clone,
}


def plainly(t):
    """The numbers of a tensor in a plain one, differentiably."""
    if isinstance(t, TwoTensor):
        return t.a
    return (t.as_subclass(torch.Tensor) if type(t) is not torch.Tensor else t) * 1.0


def unwrapped(t):
    return t.a if isinstance(t, TwoTensor) else t.as_subclass(torch.Tensor)


@every_activation
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_representation(name, dtype, activation):
    if dtype == torch.bfloat16 and name in ("negated on reading", "real part of a conjugate"):
        pytest.skip("torch has no complex numbers of this type")
    represent, function = REPRESENTATIONS[name], call(activation)
    given = numbers(activation, dtype)
    with torch.no_grad():
        made = [represent(t) for t in given]
        assert_same([unwrapped(function(*made))], [function(*map(plainly, made))], **close(dtype))
        assert type(function(*made)) is (torch.Tensor if type(made[0]) is Silent else type(made[0]))
    if name == "two in one":
        return
    ours = derivatives(lambda *ts: unwrapped(function(*map(represent, ts))), given)
    theirs = derivatives(lambda *ts: function(*(plainly(represent(t)) for t in ts)), given)
    assert_same(ours, theirs, **close(dtype))


def close(dtype):
    step = torch.finfo(dtype).eps
    return {"rtol": 16 * step, "atol": 8 * step}


UPSTREAM = {
    "zeros that nowhere are": lambda g: torch._efficientzerotensor(g.shape, dtype=g.dtype),
    "negated on reading": negated,
    "expanded": lambda g: g[0, 1].expand(g.shape),
    "transposed": lambda g: g.mT.contiguous().mT,
}


@every_activation
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", UPSTREAM)
def test_representation_of_an_upstream_gradient(name, dtype, activation):
    function, given = call(activation), numbers(activation, dtype)
    ours = derivatives(function, given, lambda y: UPSTREAM[name](sent(y)))
    theirs = derivatives(function, given, lambda y: UPSTREAM[name](sent(y)) * torch.ones_like(y))
    assert_same(ours, theirs, **close(dtype))


@pytest.mark.parametrize("name", [*sorted(REPRESENTATIONS.keys() - {"empty"}), "zeros that nowhere are"])
def test_representation_of_a_parameter(name):
    represent = (REPRESENTATIONS | UPSTREAM)[name]
    x, beta = torch.randn(SHAPE), torch.rand(SHAPE) + 0.5
    assert_same([unwrapped(actlib.swish(x, represent(beta)))], [actlib.swish(x, plainly(represent(beta)))])


@every_activation
def test_zeros_that_nowhere_are(activation):
    given = [torch._efficientzerotensor(SHAPE) for _ in numbers(activation)]
    assert_same([call(activation)(*given)], [call(activation)(*(torch.zeros(SHAPE) for _ in given))])


def nested():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])


def sparse_rows(t):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that they are in beta
        return t.to_sparse_csr()


REFUSED = {
    "sparse": (lambda t: t.to_sparse(), "layout sparse_coo came"),
    "sparse by rows": (sparse_rows, "layout sparse_csr came"),
    "nested": (lambda _: nested(), "a nested one came"),
    "jagged": (
        lambda _: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged),
        "a nested one came",
    ),
    "quantized": (lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.quint8), "quint8 came"),
    **{
        str(d): (lambda t, d=d: t.to(d), f"{str(d)[6:]} came")
        for d in (torch.int32, torch.bool, torch.complex64, torch.float8_e5m2, torch.uint16)
    },
    "NumPy's": (lambda t: t.numpy(), "ndarray came"),
    "a list": (lambda t: t.tolist(), "list came"),
    "nothing": (lambda _: None, "NoneType came"),
}
if torch.backends.mkldnn.is_available():
    REFUSED["oneDNN's"] = (lambda t: t.to_mkldnn(), "layout _mkldnn came")


of_rare_kinds = pytest.mark.filterwarnings("ignore:.*(quantiz|sparse|nested|beta)")
"""That these kinds of tensors are in beta, or go, torch says once."""


@every_activation
@of_rare_kinds
@pytest.mark.parametrize("name", REFUSED)
def test_refused(name, activation):
    make, message = REFUSED[name]
    given = [make(t) for t in numbers(activation)]
    with pytest.raises(TypeError, match=rf"^{activation.name}: (\w+) must be .*{re.escape(message)}"):
        call(activation)(*given)
    if activation.op is not None and activation.op.parameters:
        with pytest.raises(TypeError, match=rf"^{activation.name}: (\w+) must be .*{re.escape(message)}"):
            activation.function(*numbers(activation), given[0])
    if issubclass(activation.layer, actlib.GLU):
        with pytest.raises(TypeError, match=rf"^{activation.layer.__name__}: x must be .*{re.escape(message)}"):
            activation.layer(6, 3)(given[0])


class Heard(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.operations = []

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        self.operations.append(function)
        return function(*arguments, **(options or {}))


class Called(TorchFunctionMode):
    def __init__(self):
        super().__init__()
        self.functions = []

    def __torch_function__(self, function, types, arguments=(), options=None):
        self.functions.append(function)
        return function(*arguments, **(options or {}))


@contextlib.contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    yield
    torch.set_default_dtype(before)


@contextlib.contextmanager
def deterministic():
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


MODES = {
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "deterministic": deterministic,
    "default type float64": lambda: default_dtype(torch.float64),
    "default type float16": lambda: default_dtype(torch.float16),
    "default device meta": lambda: torch.device("meta"),
    "every operation is heard": Heard,
    "every function is heard": Called,
    "operations are counted": lambda: FlopCounterMode(display=False),
    "what is kept is packed": lambda: torch.autograd.graph.saved_tensors_hooks(lambda t: t.numpy(), torch.from_numpy),
    "what is kept is on the CPU": torch.autograd.graph.save_on_cpu,
    "anomalies are sought": lambda: torch.autograd.set_detect_anomaly(True, check_nan=False),
    "another number of threads": lambda: contextlib.nullcontext(torch.set_num_threads(2)),
    "warnings of all kinds": lambda: warnings.catch_warnings(action="error"),
}


@every_activation
@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@pytest.mark.parametrize("name", MODES)
def test_mode(name, activation):
    function, given = call(activation), numbers(activation)
    plain = derivatives(function, given)
    leaves = [t.clone().requires_grad_() for t in given]
    gradient = sent(plain[0])
    with MODES[name]():
        result = function(*leaves)
        gradients = torch.autograd.grad(result, leaves, gradient)
    torch.set_num_threads(1)
    assert_same([result.detach(), *gradients], plain)


@every_activation
def test_modes_hear_what_is_done(activation):
    given = numbers(activation)
    with Heard() as heard:
        call(activation)(*given)
    assert heard.operations
    with Called() as called:
        call(activation)(*given)
    assert activation.function in called.functions


@every_activation
def test_inference(activation):
    function, given = call(activation), numbers(activation)
    with torch.inference_mode():
        result = function(*(t.clone() for t in given))
    assert result.is_inference()
    assert torch.equal(result, function(*given))
    with torch.no_grad():
        assert torch.equal(function(*(t.requires_grad_() for t in given)), result)


@every_activation
def test_without_data(activation):
    function = call(activation)
    for dtype in (torch.float16, torch.float32, torch.float64):
        given = [t.requires_grad_() for t in numbers(activation, dtype)]
        elsewhere = [t.detach().to("meta").requires_grad_() for t in given]
        with FakeTensorMode(allow_non_fake_inputs=True) as mode:
            faked = [mode.from_tensor(t) for t in given]
            for made in (faked, elsewhere):
                result = function(*made)
                gradients = torch.autograd.grad(result, made, torch.ones_like(result))
                assert {(t.shape, t.dtype) for t in (result, *gradients)} == {(torch.Size(SHAPE), dtype)}


def jvp(function, given):
    return torch.func.jvp(function, tuple(given), tuple(map(sent, given)))


def dual(function, given):
    with torch.autograd.forward_ad.dual_level():
        made = [torch.autograd.forward_ad.make_dual(t, sent(t)) for t in given]
        return tuple(torch.autograd.forward_ad.unpack_dual(function(*made)))


def gradient(function, given):
    def total(*ts):
        result = function(*ts)
        return (result * sent(result)).sum()

    return torch.func.grad(total, argnums=tuple(range(len(given))))(*given)


def pulled(function, given):
    result, pull = torch.func.vjp(function, *given)
    return (result, *pull(sent(result)))


def batched(function, given):
    """Over the first dimension, as a function of the rest: rows are along the last."""
    return torch.vmap(function)(*given)


def each_gradient(function, given):
    return torch.vmap(torch.func.grad(lambda *ts: function(*ts).square().sum(), argnums=tuple(range(len(given)))))(
        *given
    )


def functional(function, given):
    return torch.func.functionalize(lambda *ts: function(*ts) * 1)(*given)


def functional_gradient(function, given):
    return torch.func.functionalize(lambda *ts: gradient(function, ts))(*given)


def batched_functional(function, given):
    return torch.vmap(torch.func.functionalize(function))(*given)


TRANSFORMS = {
    "value": lambda f, ts: f(*ts),
    "jvp": jvp,
    "dual numbers": dual,
    "grad": gradient,
    "vjp": pulled,
    "vmap": batched,
    "vmap of grad": each_gradient,
    "functionalize": functional,
    "functionalize of grad": functional_gradient,
    "vmap of functionalize": batched_functional,
}


def by_hand(name, function, given):
    """What a transform gives, made of values and of gradients of reverse mode alone."""
    value, *gradients = derivatives(function, given)
    if name in ("value", "vmap", "functionalize", "vmap of functionalize"):
        return [value]
    if name in ("grad", "functionalize of grad"):
        return gradients
    if name == "vjp":
        return [value, *gradients]
    if name == "vmap of grad":
        return derivatives(lambda *ts: function(*ts).square().sum(), given, torch.ones_like)[1:]
    leaves = [t.clone().requires_grad_() for t in given]
    rate = torch.autograd.functional.jvp(function, tuple(leaves), tuple(map(sent, given)))[1]
    return [value, rate]


@every_activation
@pytest.mark.parametrize("name", TRANSFORMS)
def test_transform(name, activation):
    function, given = call(activation), numbers(activation)
    ours = TRANSFORMS[name](function, given)
    ours = [ours] if isinstance(ours, torch.Tensor) else list(ours)
    assert_same(ours, by_hand(name, function, given), rtol=1e-5, atol=2e-5)


class Chain(nn.Module):
    """A model of one function, a layer of torch's before it."""

    def __init__(self, activation):
        super().__init__()
        torch.manual_seed(0)
        self.before = nn.ModuleList(nn.Linear(6, 6) for _ in numbers(activation))
        self.layer = activation.layer(6, 3) if issubclass(activation.layer, actlib.GLU) else activation.layer()
        self.function = call(activation)
        if activation.op is None:
            self.layer.dim = -1

    def forward(self, x):
        return self.function(*(linear(x) for linear in self.before)).sum(-1, keepdim=True) * self.layer(x)


def recorded(model, x):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*torch.jit.* is deprecated")  # of which kind depends on the version
        return torch.jit.trace(model, x)


def run_export(model, x):
    return torch.export.export(model, (x,), dynamic_shapes=({0: torch.export.Dim("n", min=2, max=100)},)).module()


def made_by(mode):
    def trace(model, x):
        with torch.no_grad():  # parameters are constants of the graph
            return make_fx(model, tracing_mode=mode, _allow_non_fake_inputs=True)(x)

    return trace


TRACERS = {
    "torch.jit.trace": recorded,
    "torch.fx": lambda model, _: fx.symbolic_trace(model),
    "make_fx": made_by("real"),
    "make_fx, fake": made_by("fake"),
    "make_fx, symbolic": made_by("symbolic"),
    "torch.export": run_export,
    "a copy of torch.fx's": lambda model, _: copy.deepcopy(fx.symbolic_trace(model)),
    "a pickle of torch.fx's": lambda model, _: pickle.loads(pickle.dumps(fx.symbolic_trace(model))),
}
FIXED = ("make_fx", "make_fx, fake")
"""Those that take the shape of the example for all."""


@every_activation
@pytest.mark.parametrize("name", TRACERS)
def test_tracer(name, activation):
    model = Chain(activation)
    traced = TRACERS[name](model, torch.randn(5, 6))
    for rows in (5, *(() if name in FIXED else (3,))):
        x = torch.randn(rows, 6) * 3
        assert_same([traced(x)], [model(x)], rtol=1e-5, atol=1e-5)
    if name.startswith(("torch.jit", "torch.fx")):
        x = torch.randn(4, 6)
        parameters = [*model.parameters()]
        ours, theirs = (torch.autograd.grad(m(x).square().sum(), parameters) for m in (traced, model))
        assert_same(ours, theirs, rtol=1e-4, atol=1e-4)


LEARNT = {
    "Swish": lambda: actlib.Swish(learnable=True),
    "PReLU": lambda: actlib.PReLU(6),
    "SoftmaxWithSink": lambda: actlib.SoftmaxWithSink(heads=6),
    "SwiGLU, halves": lambda: actlib.SwiGLU(6, 3, layout="halves"),
    "ClampedSwiGLU, interleaved": lambda: actlib.ClampedSwiGLU(6, 3, layout="interleaved"),
}


@pytest.mark.parametrize("layer", LEARNT)
@pytest.mark.parametrize("name", ["torch.jit.trace", "torch.fx", "make_fx, symbolic", "torch.export"])
def test_tracer_of_a_layer_with_parameters(name, layer):
    model = nn.Sequential(LEARNT[layer]())
    for parameter in model.parameters():
        nn.init.uniform_(parameter, 0.1, 1)
    traced = TRACERS[name](model, torch.randn(5, 6, 6))
    for rows in (5, 3):
        x = torch.randn(rows, 6, 6) * 3
        assert_same([traced(x)], [model(x)], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layer", LEARNT)
def test_modes_hear_a_layer_with_parameters(layer):
    model, x = LEARNT[layer](), torch.randn(4, 6, 6)
    with Called() as called:
        result = model(x)
    assert any(getattr(f, "__module__", None) and f.__module__.startswith("actlib.") for f in called.functions)
    assert_same([result], [model(x)])
    assert type(model(x.as_subclass(Named))) is Named


@every_activation
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
def test_a_recorded_graph_has_the_gradient_at_kinks_and_in_tails(activation, dtype):
    function, given = call(activation), numbers(activation, dtype)
    traced = recorded(function, tuple(torch.randn_like(t) for t in given))
    assert_same(derivatives(traced, given), derivatives(function, given), **close(dtype))


def test_a_recorded_graph_is_kept_in_a_file(tmp_path):
    model, x = nn.Sequential(nn.Linear(3, 3), actlib.GELU(), actlib.Swish(learnable=True)), torch.randn(2, 3)
    recorded(model, x).save(tmp_path / "model.pt")
    program = f"import torch; torch.save(torch.jit.load({str(tmp_path / 'model.pt')!r})(torch.ones(2, 3)), 'y.pt')"
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], cwd=tmp_path, check=True)
    torch.testing.assert_close(torch.load(tmp_path / "y.pt"), model(torch.ones(2, 3)))


@every_activation
@pytest.mark.skipif(not hasattr(torch.Tensor, "rename"), reason="newer versions of torch have no such tensors")
@pytest.mark.filterwarnings("ignore::UserWarning")  # that named tensors are new
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_named_dimensions_are_refused(activation, dtype):
    given = [t.rename("N", "C") for t in numbers(activation, dtype)]
    with pytest.raises(TypeError, match=r"one with names \('N', 'C'\) came"):
        call(activation)(*given)


@every_activation
@pytest.mark.filterwarnings("ignore:.*torch.jit.* is deprecated")
def test_scripts_are_refused(activation):
    layer = activation.layer(6, 3) if issubclass(activation.layer, actlib.GLU) else activation.layer()
    with pytest.raises(TypeError, match=rf"{type(layer).__name__}: torch.jit.script reads .* came"):
        torch.jit.script(nn.Sequential(layer))


INPLACE = ("relu", "leaky_relu", "elu", "silu", "selu", "celu", "relu6", "mish", "hardswish", "hardsigmoid")


@pytest.mark.parametrize("name", INPLACE)
def test_in_place_in_a_graph(name):
    function = getattr(actlib, name)

    class Model(nn.Module):
        def forward(self, x):
            y = x * 2
            function(y, inplace=True)
            return y

    x = torch.randn(3, 4)
    expected = function(x * 2)
    graphs = [fx.symbolic_trace(Model()), recorded(Model(), x), make_fx(Model())(x)]
    for graph in (*graphs, torch.func.functionalize(Model())):
        assert_same([graph(x)], [expected])


NUMBERS = {
    "int": 2,
    "NumPy's float32": np.float32(1.5),
    "NumPy's int8": np.int8(2),
    "NumPy's float16": np.float16(0.5),
    "a fraction": fractions.Fraction(3, 2),
    "a tensor": torch.tensor(1.5),
    "a tensor in double precision": torch.tensor(1.5, dtype=torch.float64),
    "a large int": 2**70,
    "infinity": float("inf"),
}
WITH_PARAMETERS = [a for a in ACTIVATIONS.values() if a.op is not None and a.op.parameters]


@pytest.mark.parametrize("activation", WITH_PARAMETERS, ids=lambda a: a.name)
@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_number(name, dtype, activation):
    given, number = numbers(activation, dtype), NUMBERS[name]
    ours = activation.function(*given, number)
    assert_same([ours], [activation.function(*given, float(number))], **close(dtype))


@pytest.mark.parametrize("activation", WITH_PARAMETERS, ids=lambda a: a.name)
@pytest.mark.parametrize("number", [True, 1j, "1", None, np.zeros(1), np.bool_(True), 10**400], ids=repr)
def test_no_number(number, activation):
    with pytest.raises((TypeError, ValueError), match=rf"^{activation.name}: \w+ must be .*came"):
        activation.function(*numbers(activation), number)


@pytest.mark.parametrize("function", [actlib.softmax, actlib.log_softmax], ids=lambda f: f.__name__)
@pytest.mark.parametrize("dim", [np.int64(1), np.int8(-1)], ids=repr)
def test_dimensions_of_numpy(function, dim):
    assert torch.equal(function(torch.ones(2, 3), dim), function(torch.ones(2, 3), int(dim)))


ALLOWED = {"CPU", "Dense", "AutogradCPU", "AutogradFunctionality", "AutocastCPU", "ADInplaceOrView"}
IN_FORCE = {"BackendSelect", "ADInplaceOrView"}


def test_every_key_of_torch_is_foreign_but_those_of_plain_tensors():
    for name, key in torch._C.DispatchKey.__members__.items():
        bits = torch._C.DispatchKeySet(key).raw_repr()
        if not bits or name.startswith(("StartOf", "EndOf")):  # no key
            continue
        assert bool(bits & torch_runner._FOREIGN["cpu"]) == (name not in ALLOWED), name
        assert bool(bits & torch_runner._LISTENING) == (name not in IN_FORCE), name
    assert not any(keys & torch_runner._FOREIGN["cpu"] for keys in torch_runner.PLAIN)
    assert not any(keys & torch_runner._LISTENING for keys in torch_runner.UNHEARD)


@of_rare_kinds
def test_what_is_plain():
    t = torch.randn(3)
    with torch.inference_mode():
        made = torch.randn(3)
    for plain in (t, made, nn.Parameter(t), t.requires_grad_(), t.detach()[::2], t.detach().expand(2, 3), t[:0]):
        assert torch_runner.are_plain([plain])
    with torch.autocast("cpu"), torch.no_grad(), torch.device("meta"):
        assert torch_runner.are_plain([t])
    foreign = [make(torch.ones(2, 2)) for make in (negated, *(m for m, _ in REFUSED.values()))]
    foreign = [f for f in foreign if isinstance(f, torch.Tensor) and f.dtype == torch.float32]
    assert len(foreign) >= 5
    foreign += [torch._efficientzerotensor(3), t.to("meta"), TwoTensor(t.detach(), t.detach())]
    assert not any(map(torch_runner.is_plain, foreign))
    with Heard():
        assert not torch_runner.are_plain([t])


PASS = ("plain", "copied on writing", "without dimensions", "one that wants a gradient", "a parameter")
"""What goes straight to machine code."""


@of_rare_kinds
def test_what_goes_the_straight_way():
    fits, number = calls.fits(1), torch.ones(2, 2)
    wanting = {"one that wants a gradient": lambda t: t.clone().requires_grad_(), "a parameter": nn.Parameter}
    for name, represent in (REPRESENTATIONS | UPSTREAM | wanting).items():
        assert fits((represent(torch.arange(24.0).reshape(SHAPE)),)) == (name in PASS), name
    others = [make(number) for make, _ in REFUSED.values()]
    assert not any(fits((t,)) for t in others if not isinstance(t, torch.Tensor) or t.dtype == torch.float32)
    assert not fits((number.to("meta"),))
    two = calls.fits(2)
    assert two((number, number + 1))
    for other in (number.double(), torch.ones(2, 3), torch.ones(4), number.T.contiguous().T, 1.0, None):
        assert not two((number, other))


@every_activation
def test_a_tensor_left_over_from_a_transform(activation):
    left = []
    given = numbers(activation)
    for t in given:
        torch.func.grad(lambda t: (left.append(t), t.sum())[1])(t)
    result = call(activation)(*left)
    assert not result.requires_grad
    assert torch.equal(result, call(activation)(*given))


def within(context):
    def listen(see):
        with context():
            see(0)

    return listen


LISTENERS = {
    "a mode of operations": within(Heard),
    "a mode of functions": within(Called),
    "a default device": within(lambda: torch.device("cpu")),
    "a counter": within(lambda: FlopCounterMode(display=False)),
    "a mode without data": within(FakeTensorMode),
    "forward mode": within(torch.autograd.forward_ad.dual_level),
    "vmap": lambda see: torch.vmap(see)(torch.ones(3)),
    "grad": lambda see: torch.func.grad(see)(torch.ones(())),
    "functionalize": lambda see: torch.func.functionalize(see)(torch.ones(())),
    "make_fx": lambda see: make_fx(see)(torch.ones(())),
    "torch.jit.trace": lambda see: recorded(lambda t: see(t) if torch.jit.is_tracing() else t + 0, torch.ones(())),
}


@pytest.mark.parametrize("name", LISTENERS)
def test_nothing_goes_the_straight_way_while_somebody_listens(name):
    number, seen = torch.ones(2), []

    def see(t):
        seen.append(calls.fits(1)((number,)))
        return t + 0

    see(0)
    LISTENERS[name](see)
    assert len(seen) > 1
    assert seen == [True] + [False] * (len(seen) - 1)


@every_activation
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_plain_tensors_go_the_straight_way(activation, dtype, monkeypatch):
    """Forward, and backward, also where it is to be differentiated again."""
    if activation is ACTIVATIONS["softmax_with_sink"]:
        pytest.skip("it is made of several operations")
    function, given = call(activation), numbers(activation, dtype)
    for module in (differentiable, softmax):
        monkeypatch.setattr(module, "in_general", None)
    leaves = [t.clone().requires_grad_() for t in given]
    result = function(*leaves)
    assert torch.equal(result, function(*given))
    for create_graph in (False, True):
        gradients = torch.autograd.grad(result, leaves, sent(result), retain_graph=True, create_graph=create_graph)
        assert [g.requires_grad for g in gradients] == [create_graph] * len(leaves)


DANGEROUS = {
    "sgn's gradient": """
        x = torch.randn(3, requires_grad=True)
        torch.sgn(call(x)).sum().backward()
        assert torch.equal(x.grad, torch.zeros(3))
    """,
    "memory that has been freed": """
        x = torch.randn(1000)
        x.untyped_storage().resize_(0)
        try:
            call(x)
        except (ValueError, RuntimeError) as error:
            assert "came" in str(error) or "storage" in str(error), error
        else:
            raise AssertionError
    """,
    "a small default type": """
        torch.set_default_dtype(torch.float16)
        x = torch.randn(64, 4099, dtype=torch.float32)
        assert call(x).isfinite().all()
    """,
    "a default device without memory": """
        x = torch.randn(64, 4099)
        with torch.device("meta"):
            y = call(x)
        assert y.device.type == "cpu"
    """,
    "a tensor that shrank": """
        x = torch.randn(1000)
        x.resize_(0)
        assert call(x).numel() == 0
    """,
    "memory that is read alone": """
        import mmap, tempfile
        with tempfile.TemporaryFile() as file:
            file.write(bytes(4000)); file.flush()
            with mmap.mmap(file.fileno(), 4000, access=mmap.ACCESS_READ) as memory:
                x = torch.from_numpy(np.frombuffer(memory, np.float32))
                assert call(x).numel() == 1000
                del x
    """,
    "torch.jit.trace": """
        y = torch.jit.trace(call, torch.randn(3))(torch.zeros(3))
        assert torch.allclose(y, call(torch.zeros(3)))
    """,
}


@pytest.mark.parametrize("name", DANGEROUS)
def test_dangerous(name):
    """In a process of its own, since a mistake here ends it, for each of all functions."""
    body = "\n".join(line[4:] for line in DANGEROUS[name].splitlines())
    program = f"""
import numpy as np, torch, actlib
def run(call):
{body}
for activation in actlib.ACTIVATIONS.values():
    if activation.op is None:
        run(lambda x: activation.function(x, -1))
    else:
        run(lambda x: activation.function(*[x] * len(activation.inputs)))
"""
    command = [sys.executable, "-W", "ignore", "-c", program]
    ended = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert ended.returncode == 0, ended.stderr


@pytest.fixture(scope="module")
def mesh():
    if not torch.distributed.is_available():
        pytest.skip("this torch is not distributed")
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield torch.distributed.device_mesh.init_device_mesh("cpu", (1,))
    torch.distributed.destroy_process_group()


@every_activation
def test_distributed(activation, mesh):
    from torch.distributed.tensor import DTensor, Replicate, Shard

    function, given = call(activation), numbers(activation)
    for placement in (Shard(0), Replicate()):
        spread = lambda t, p=placement: DTensor.from_local(t, mesh, [p])
        leaves = [t.clone().requires_grad_() for t in given]
        result = function(*map(spread, leaves))
        assert result.placements == (placement,)
        gradients = torch.autograd.grad(result.full_tensor(), leaves, sent(given[0]))
        assert_same([result.full_tensor().detach(), *gradients], derivatives(function, given))


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_sharded_parameters(mesh):
    from torch.distributed.fsdp import fully_shard

    model = nn.Sequential(nn.Linear(4, 4), actlib.Swish(learnable=True), actlib.SwiGLU(4, 2))
    plain, x = copy.deepcopy(model), torch.randn(3, 4)
    fully_shard(model, mesh=mesh)
    for one in (model, plain):
        one(x).square().sum().backward()
    for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        assert_same([ours.full_tensor().detach(), ours.grad.full_tensor()], [theirs.detach(), theirs.grad])


def test_a_learnt_beta_of_before_is_loaded():
    layer = actlib.Swish(learnable=True)
    assert layer.beta.shape == (1,)
    layer.load_state_dict({"beta": torch.tensor(2.5)})
    assert layer.beta.tolist() == [2.5]
    number = torch.tensor(1.5, requires_grad=True)
    assert layer(number).shape == ()
    layer(number).backward()
    assert layer.beta.grad.shape == (1,)
    nn.Sequential(actlib.Swish(torch.tensor(1.0), learnable=True)).load_state_dict({"0.beta": torch.tensor(2.0)})
