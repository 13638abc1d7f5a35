"""Gate and value in one packed tensor: the same numbers as from two, and the gradient in one packed tensor, too."""

import copy
import pickle

import pytest
import torch
from torch import fx, nn
from torch.nn import functional

import actlib
from actlib import ACTIVATIONS, elementwise
from actlib.activations import packed

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
GATED = [a for a in ACTIVATIONS.values() if issubclass(a.layer, actlib.GLU)]

every_gated = pytest.mark.parametrize("activation", GATED, ids=lambda a: a.name)
every_layout = pytest.mark.parametrize("layout", packed.LAYOUTS)


def pair(both, layout):
    """Gate and value, each in memory of its own."""
    columns = range(both.shape[-1])
    width = both.shape[-1] // 2
    places = [columns[:width], columns[width:]] if layout == "halves" else [columns[::2], columns[1::2]]
    return [both[..., list(p)].contiguous() for p in places]


def from_two(function, layout, *parameters):
    return lambda both: function(*pair(both, layout), *parameters)


def from_one(function, layout, *parameters):
    return lambda both: function(both, None, *parameters, layout=layout)


def derivatives(function, both, *others):
    leaves = [both.detach().requires_grad_(), *others]
    result = function(leaves[0])
    torch.manual_seed(1)
    sent = torch.randn_like(result)
    return [result.detach(), *torch.autograd.grad(result, leaves, sent)]


SHAPES = [(2,), (62,), (64,), (5, 2), (7, 10), (3, 5, 66), (1, 4098), (33, 74), (2, 2000), (0, 4), (3, 0)]


OF_ALL_TYPES = [(ACTIVATIONS["swiglu"], d) for d in (torch.bfloat16, torch.float16, torch.float64)]


@pytest.mark.parametrize(
    ("activation", "dtype"), [*((a, torch.float32) for a in GATED), *OF_ALL_TYPES], ids=lambda v: getattr(v, "name", v)
)
@every_layout
def test_the_same_to_the_last_bit_as_from_two(layout, activation, dtype):
    for shape in SHAPES:
        both = (4 * torch.randn(shape)).to(dtype)
        ours = derivatives(from_one(activation.function, layout), both)
        theirs = derivatives(from_two(activation.function, layout), both)
        for a, b in zip(ours, theirs, strict=True):
            assert torch.equal(a, b), shape
            assert a.is_contiguous()


@every_gated
@every_layout
def test_by_a_kernel_of_a_gpu(layout, activation, by_kernel):
    for shape in [(2,), (7, 10), (3, 5, 66), (2, 2000)]:
        both = torch.randn(shape, device=DEVICE)
        ours, theirs = (by_kernel(derivatives, f(activation.function, layout), both) for f in (from_one, from_two))
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b)


@every_layout
def test_a_parameter_by_a_kernel_of_a_gpu(layout, by_kernel):
    both = torch.randn(6, 10, device=DEVICE)
    for shape in ((), (5,), (6, 1), (6, 5)):
        beta = torch.rand(shape, device=DEVICE).requires_grad_()
        ours, theirs = (
            by_kernel(derivatives, f(actlib.swiglu, layout, beta), both, beta) for f in (from_one, from_two)
        )
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b)


@every_layout
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_nothing_is_copied(layout, dtype):
    both = torch.randn(6, 10, dtype=dtype, requires_grad=True)
    if elementwise.llvm_runner() is None or not elementwise.llvm_runner().takes([both.detach()]):
        pytest.skip("no kernel for this type here")
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as forward:
        result = actlib.swiglu(both, layout=layout)
    (kept,) = result.grad_fn.saved_tensors
    assert (kept.shape, kept.data_ptr()) == (both.shape, both.data_ptr())
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as backward:
        result.backward(torch.ones_like(result))
    for profile in (forward, backward):
        names = {event.name for event in profile.events()}
        assert not names & {"aten::copy_", "aten::cat", "aten::stack", "aten::add", "aten::clone", "aten::zeros"}
    assert both.grad.shape == both.shape


@every_layout
@pytest.mark.parametrize("threads", [1, 3])
def test_on_several_threads(layout, threads):
    torch.set_num_threads(threads)
    for shape in ((5, 40000), (40000, 6), (1, 200002)):
        both = torch.randn(shape)
        ours, theirs = (derivatives(f(actlib.geglu, layout), both) for f in (from_one, from_two))
        assert all(map(torch.equal, ours, theirs))


@every_layout
@pytest.mark.parametrize("shape", [(), (1,), (5,), (6, 1), (6, 5)], ids=str)
def test_a_parameter(layout, shape):
    both, beta = torch.randn(6, 10), torch.rand(shape).requires_grad_()
    ours, theirs = (derivatives(f(actlib.swiglu, layout, beta), both, beta) for f in (from_one, from_two))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


class Named(torch.Tensor):
    """A class of its own, with torch's functions."""


ODD = {
    "transposed": lambda t: t.mT.contiguous().mT,
    "every second": lambda t: torch.stack([t, t], -1)[..., 0],
    "expanded": lambda t: t[:1].expand(t.shape),
    "negated on reading": lambda t: torch.complex(t, -t).conj().imag,
    "of another class": lambda t: t.as_subclass(Named),
    "a part of memory": lambda t: torch.cat([t, t])[3:7],
}


@every_layout
@pytest.mark.parametrize("name", ODD)
def test_however_it_lies(name, layout):
    both = torch.randn(6, 10)
    ours, theirs = (
        derivatives(lambda t, f=f: f(ODD[name](t)).as_subclass(torch.Tensor), both)
        for f in (from_one(actlib.swiglu, layout), from_two(actlib.swiglu, layout))
    )
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


@every_layout
@pytest.mark.parametrize(
    "upstream", [torch.ones(()), torch.ones(5), torch._efficientzerotensor((6, 5))], ids=["one", "row", "zeros"]
)
def test_upstream_gradients(upstream, layout):
    both = torch.randn(6, 10, requires_grad=True)
    sent = upstream.expand(6, 5)
    ours, theirs = (torch.autograd.grad(f(actlib.swiglu, layout)(both), both, sent)[0] for f in (from_one, from_two))
    torch.testing.assert_close(ours, theirs)


@every_gated
@every_layout
def test_gradients_to_any_order(layout, activation):
    both = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    call = from_one(activation.function, layout)
    assert torch.autograd.gradcheck(call, both, check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(call, both)
    single = both.detach().float().requires_grad_()
    (slope,) = torch.autograd.grad(call(single).sum(), single, create_graph=True)
    (expected,) = torch.autograd.grad(from_two(activation.function, layout)(single).sum(), single, create_graph=True)
    ours, theirs = (torch.autograd.grad(s.square().sum(), single)[0] for s in (slope, expected))
    torch.testing.assert_close(ours, theirs)


@every_layout
@pytest.mark.filterwarnings("ignore:.*torch.jit.* is deprecated")
def test_transforms_and_tracers(layout):
    both = torch.randn(4, 6)
    call = from_one(actlib.geglu, layout, "tanh")

    class Model(nn.Module):
        def forward(self, x):
            return call(x) * 1

    expected = from_two(actlib.geglu, layout, "tanh")(both)
    graphs = [fx.symbolic_trace(Model()), torch.jit.trace(Model(), both), torch.vmap(call)]
    graphs += [torch.compile(call, backend="aot_eager", fullgraph=True)]
    graphs += [torch.export.export(Model(), (both,)).module(), torch.func.functionalize(Model())]
    for graph in graphs:
        torch.testing.assert_close(graph(both), expected)
    torch.compiler.reset()


@every_gated
@every_layout
def test_layer(layout, activation):
    layer, x = activation.layer(5, 7, layout=layout), torch.randn(2, 3, 5)
    linear = nn.Linear(5, 14)
    layer.load_state_dict(linear.state_dict())
    result = layer(x)
    apart = pair(linear(x), layout)
    torch.testing.assert_close(result, activation.function(*apart))
    separate = activation.layer(5, 7)
    for name, row in zip(("W", "V"), pair(linear.weight.T, layout), strict=True):
        getattr(separate, name).data = row.T
    for name, row in zip(("b", "d"), pair(linear.bias, layout), strict=True):
        getattr(separate, name).data = row
    torch.testing.assert_close(result, separate(x))
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(other(x), result)
    assert f"layout={layout!r}" in repr(layer)
    assert activation.layer(5, 7, bias=False, layout=layout).bias is None


def test_torch_takes_the_value_first():
    both = torch.randn(4, 6)
    value, gate = both.chunk(2, -1)
    torch.testing.assert_close(functional.glu(both, -1), actlib.glu(torch.cat([gate, value], -1), layout="halves"))


REFUSED = [
    (
        lambda f: f(torch.ones(2, 4), layout="rows"),
        ValueError,
        'layout must be "halves" or "interleaved", but \'rows\'',
    ),
    (
        lambda f: f(torch.ones(2, 4), torch.ones(2, 4), layout="halves"),
        TypeError,
        "gate holds both, but value came too",
    ),
    (lambda f: f(torch.ones(2, 3), layout="halves"), ValueError, r"of even size, but one of shape \(2, 3\) came"),
    (lambda f: f(torch.ones(()), layout="halves"), ValueError, r"of even size, but one of shape \(\) came"),
    (lambda f: f([1.0, 2.0], layout="halves"), TypeError, "gate must be a tensor, but list came"),
    (lambda f: f(torch.ones(2, dtype=torch.int64), layout="halves"), TypeError, "but one of int64 came"),
    (lambda f: f(torch.ones(2, 4).to_sparse(), layout="halves"), TypeError, "layout sparse_coo came"),
    (lambda f: f(torch.ones(2, 4)), TypeError, "value must be a tensor, but NoneType came"),
]


@every_gated
@pytest.mark.parametrize(("call", "error", "message"), REFUSED)
def test_refused(call, error, message, activation):
    with pytest.raises(error, match=rf"^{activation.name}: .*{message}"):
        call(activation.function)


def test_refused_by_layers_and_for_parameters():
    with pytest.raises(ValueError, match=r"^SwiGLU: layout must be .* but 'rows' came"):
        actlib.SwiGLU(2, 3, layout="rows")
    with pytest.raises(ValueError, match=r"^swiglu: beta of shape \(3,\) does not broadcast"):
        actlib.swiglu(torch.ones(2, 4), beta=torch.ones(3), layout="halves")
    with pytest.raises(TypeError, match=r"^swiglu: beta must be a real number or a tensor, but str came"):
        actlib.swiglu(torch.ones(2, 4), beta="1", layout="halves")
