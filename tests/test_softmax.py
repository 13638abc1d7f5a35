"""Softmax and its logarithm as maps of rows: any dimension and length, masks, kernels, layers, refusals."""

import copy
import pickle

import flint
import numpy as np
import pytest
import sympy as sp
import torch
from formulas import of_machine_code
from rounding import mixed_errors
from torch import nn
from torch.utils.checkpoint import checkpoint

import actlib
from actlib import accuracy
from actlib.activations import softmax as module
from actlib.backends import softmax_kernels, torch_runner
from actlib.formula.primitives import elementary

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
FUNCTIONS = {"softmax": (actlib.softmax, torch.softmax), "log_softmax": (actlib.log_softmax, torch.log_softmax)}
SHAPES = [((7,), 0), ((3, 5), 1), ((3, 5), 0), ((2, 3, 5), 1), ((2, 3, 5), -3), ((2, 1, 4), 1), ((), 0), ((), -1)]
EMPTY = [((0,), 0), ((0, 3), 1), ((3, 0), 1), ((3, 0), 0)]
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]

both = pytest.mark.parametrize(("function", "torchs"), FUNCTIONS.values(), ids=FUNCTIONS.keys())
every_shape = pytest.mark.parametrize(("shape", "dim"), SHAPES, ids=str)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def derivatives(function, x):
    """Value, gradient, and gradient of the gradient in both of what it depends on."""
    x = x.detach().requires_grad_()
    y = function(x)
    sent = torch.linspace(-1, 1, y.numel(), device=y.device).view(y.shape).to(y.dtype).requires_grad_()
    (first,) = torch.autograd.grad(y, x, sent, create_graph=True)
    second = torch.autograd.grad(first, [x, sent], torch.cos(sent.detach() * 5))
    return [t.detach() for t in (y, first, *second)]


def assert_all_close(ours, theirs, **tolerance):
    for a, b in zip(ours, theirs, strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        torch.testing.assert_close(a, b, **tolerance)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_formula_is_the_schoolbooks(count):
    scores = sp.symbols(f"x1:{count + 1}", real=True)
    total = sum(map(sp.exp, scores))
    for score, p, log_p in zip(scores, module.row(scores), module.log_row(scores), strict=True):
        assert sp.simplify(elementary(p) - sp.exp(score) / total) == 0
        assert sp.simplify(sp.exp(elementary(log_p)) - sp.exp(score) / total) == 0


@both
@every_shape
@every_dtype
def test_value_and_derivatives_are_torchs(function, torchs, shape, dim, dtype):
    x = torch.randn(shape, dtype=torch.float64).to(dtype)
    ours, theirs = (derivatives(lambda t, f=f: f(t, dim), x) for f in (function, torchs))
    half = dtype in (torch.float16, torch.bfloat16)  # where torch takes slopes from the rounded output
    assert_all_close(ours, theirs, **({"rtol": 0, "atol": 8 * torch.finfo(dtype).eps} if half else {}))
    assert ours[0].stride() == theirs[0].stride()
    assert ours[1].stride() == theirs[1].stride()


@both
@pytest.mark.parametrize(("shape", "dim"), EMPTY, ids=str)
def test_nothing_gives_nothing(function, torchs, shape, dim):
    x = torch.empty(shape, requires_grad=True)
    y = function(x, dim)
    assert y.shape == torchs(x, dim).shape
    y.sum().backward()
    assert x.grad.shape == x.shape


@both
@pytest.mark.parametrize(
    "layout",
    [
        lambda t: t.to(memory_format=torch.channels_last),
        lambda t: t.transpose(1, 3),
        lambda t: t[..., ::2],
        lambda t: t[:, :1].expand(-1, 4, -1, -1),
    ],
    ids=["channels last", "transposed", "every other", "expanded"],
)
@pytest.mark.parametrize("dim", [0, 1, 2, 3])
def test_any_memory_order(function, torchs, layout, dim):
    x = layout(torch.randn(3, 4, 5, 6))
    assert_all_close(derivatives(lambda t: function(t, dim), x), derivatives(lambda t: torchs(t, dim), x))
    assert function(x, dim).stride() == torchs(x, dim).stride()


@both
@pytest.mark.parametrize(
    ("shape", "dim"),
    [((2, 300_001), 1), ((300_001, 2), 0), ((700, 1000), 1), ((700, 1000), 0), ((3, 400, 500), 1), ((300, 3, 500), 1)],
    ids=str,
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_rows_longer_than_a_tile_and_tiles_of_rows(function, torchs, shape, dim, dtype):
    assert torch.Size(shape).numel() > torch_runner.TILE
    x = torch.randn(shape).to(dtype).requires_grad_()
    y, expected = function(x, dim), torchs(x.double(), dim)
    step = torch.finfo(dtype).eps
    torch.testing.assert_close(y, expected.to(dtype), rtol=8 * step if dtype == torch.float32 else step, atol=1e-30)
    sent = torch.randn(shape, dtype=torch.float64).to(dtype)
    (ours,), (theirs,) = (torch.autograd.grad(r, x, g) for r, g in ((y, sent), (expected, sent.double())))
    # A row of the gradient sums to 0, so its entries may cancel: relative to the largest of them.
    torch.testing.assert_close(ours, theirs, rtol=8 * step, atol=float(4 * torch.finfo(dtype).eps * theirs.abs().max()))


@both
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("length", range(1, 19))
def test_short_rows_side_by_side(function, torchs, length, dtype):
    digits = {"rtol": 1e-6, "atol": 1e-6} if dtype == torch.float32 else {"rtol": 2**-7, "atol": 1e-6}
    for rows in (1, 2, 3, 7, 33, 1000):
        x, sent = (torch.randn(rows, length).to(dtype) for _ in range(2))
        results = []
        for one, wide in ((function, x), (torchs, x.double())):
            y = one(wide.requires_grad_(), -1)
            results.append([y, *torch.autograd.grad(y, wide, sent.to(wide.dtype))])
        assert_all_close(results[0], [t.to(dtype) for t in results[1]], **digits)


ENDS = [
    (torch.inf, 1),
    (torch.inf, torch.inf),
    (-torch.inf, 2),
    (-torch.inf, -torch.inf),
    (torch.nan, 0),
    (1, torch.nan),
]


@both
@pytest.mark.parametrize("end", ENDS, ids=str)
def test_a_short_row_is_what_it_is_in_a_long_one(function, torchs, end):  # noqa: ARG001
    for length in (2, 3, 5, 16):
        short = torch.randn(40, length)
        short[17, :2] = torch.tensor(end)
        long = torch.cat([short, torch.full((40, 100), -torch.inf)], 1)
        torch.testing.assert_close(function(short, 1), function(long, 1)[:, :length], equal_nan=True)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("length", [1, 2, 1000, 300_000])
def test_rows_sum_to_1(dtype, length):
    p = actlib.softmax(3 * torch.randn(2, length, dtype=torch.float64).to(dtype), 1)
    # Each entry is off by a step of its own size at most; in float64 the sum that is tested is rounded, too.
    torch.testing.assert_close(p.double().sum(1), torch.ones(2).double(), rtol=0, atol=4 * torch.finfo(dtype).eps)


@both
@every_dtype
def test_shifted_scores_give_the_same_bits(function, torchs, dtype):  # noqa: ARG001
    x = torch.randint(-64, 64, (50, 7)).to(dtype) / 8  # exact, and so are their sums with 16
    for shift in (16, -16):
        assert ((x + shift).double() - x.double() == shift).all()
        assert torch.equal(function(x + shift, 1), function(x, 1))


@both
def test_infinite_scores(function, torchs):
    inf, nan = torch.inf, torch.nan
    x = torch.tensor([[-inf, 0, 1], [-inf, -inf, 0], [-inf] * 3, [nan, 0, 1], [nan, inf, -inf]])
    for dtype in DTYPES:
        torch.testing.assert_close(function(x.to(dtype), 1), torchs(x.to(dtype), 1), equal_nan=True)
        torch.testing.assert_close(function(x.to(dtype).T, 0), torchs(x.to(dtype).T, 0), equal_nan=True)
        slopes = [torch.autograd.grad(f(t, 1)[:, 2].sum(), t)[0] for f in (function, torchs)
                  for t in [x[:2].to(dtype).requires_grad_()]]  # fmt: skip
        torch.testing.assert_close(*slopes)
    one, several = torch.tensor([inf, 0.0, -inf]), torch.tensor([inf, 0.0, inf])
    limit = torch.tensor([1.0, 0.0, 0.0])
    assert torch.equal(function(one, 0), limit if function is actlib.softmax else limit.log())
    assert function(several, 0).isnan().all()


def test_logarithm_of_a_probability_next_to_1_is_not_0():
    x = torch.tensor([0.0, -40.0], requires_grad=True)
    y = actlib.log_softmax(x, 0)
    assert y[0].item() == pytest.approx(-np.exp(-40), rel=1e-6)
    (slopes,) = torch.autograd.grad(y[0], x)
    assert slopes.tolist() == pytest.approx([np.exp(-40), -np.exp(-40)], rel=1e-6)
    assert torch.log_softmax(x, 0)[0] == 0


@both
@every_dtype
def test_entries_left_out_are_as_if_they_were_not_there(function, torchs, dtype):  # noqa: ARG001
    x, where = torch.randn(6, 9, dtype=torch.float64).to(dtype), torch.rand(6, 9) < 0.6
    where[0], where[:, 0] = True, True
    left_out = 0.0 if function is actlib.softmax else -torch.inf
    full = x.clone().requires_grad_()
    y = function(full, 1, where=where)
    assert (y[~where] == left_out).all()
    sent = torch.randn(6, 9, dtype=torch.float64).to(dtype)
    (slope,) = torch.autograd.grad(y, full, sent)
    assert (slope[~where] == 0).all()
    for i in range(6):
        part = x[i][where[i]].requires_grad_()
        z = function(part, 0)
        torch.testing.assert_close(y[i][where[i]], z, rtol=4 * torch.finfo(dtype).eps, atol=0)
        torch.testing.assert_close(slope[i][where[i]], torch.autograd.grad(z, part, sent[i][where[i]])[0])


@both
def test_a_row_without_any_entry_is_left_out_whole(function, torchs):  # noqa: ARG001
    x = torch.tensor([[1.0, torch.inf, torch.nan], [1.0, 2.0, 3.0]], requires_grad=True)
    where = torch.tensor([[False] * 3, [True] * 3])
    y = function(x, 1, where=where)
    assert (y[0] == (0 if function is actlib.softmax else -torch.inf)).all()
    assert torch.equal(y[1], function(x[1], 0))
    (slope,) = torch.autograd.grad(y[:, 0].sum(), x)
    assert slope[0].tolist() == [0, 0, 0]
    assert slope[1].isfinite().all()


@both
def test_a_mask_broadcasts(function, torchs):  # noqa: ARG001
    x, where = torch.randn(2, 3, 5), torch.tensor([True, False, True, True, False])
    assert torch.equal(function(x, 2, where=where), function(x, 2, where=where.expand(2, 3, 5)))
    rows = torch.tensor([[True], [False], [True]])
    assert torch.equal(function(x, 0, where=rows), function(x, 0, where=rows.expand(2, 3, 5)))


@both
def test_a_mask_over_many_tiles(function, torchs):  # noqa: ARG001
    x, where = torch.randn(700, 1000), torch.rand(700, 1000) < 0.5
    parts = [function(a, 1, where=m) for a, m in zip(x.split(100), where.split(100), strict=True)]
    assert torch.equal(function(x, 1, where=where), torch.cat(parts))


@both
def test_derivatives_agree_with_finite_differences(function, torchs):  # noqa: ARG001
    x, where = torch.randn(3, 4, dtype=torch.float64, requires_grad=True), torch.rand(3, 4) < 0.7
    for call in (
        lambda t: function(t, 0),
        lambda t: function(t, -1),
        lambda t: function(t, 1, where=where).masked_fill(~where, 0),
    ):
        assert torch.autograd.gradcheck(call, x, check_forward_ad=True, check_batched_grad=True)
        assert torch.autograd.gradgradcheck(call, x, check_fwd_over_rev=True, check_batched_grad=True)


@both
def test_jacobian_is_the_formulas(function, torchs):  # noqa: ARG001
    scores = sp.symbols("x1:5", real=True)
    entries = (module.row if function is actlib.softmax else module.log_row)(scores)
    matrix = sp.lambdify(scores, sp.Matrix(elementary(sp.Tuple(*entries))).jacobian(scores), "mpmath")
    x = torch.tensor([0.5, -1.0, 2.0, 0.25], dtype=torch.float64)
    expected = torch.tensor(np.array(matrix(*x.tolist()).tolist(), dtype=float))
    for jacobian in (torch.func.jacrev, torch.func.jacfwd):
        torch.testing.assert_close(jacobian(lambda t: function(t, 0))(x), expected, rtol=1e-13, atol=1e-15)
    if function is actlib.softmax:
        p = function(x, 0)
        torch.testing.assert_close(expected, p.diag() - p.outer(p), rtol=1e-13, atol=1e-15)


@both
def test_function_transforms(function, torchs):
    x, t, weights = torch.randn(4, 3, 5, dtype=torch.float64), torch.randn(3, 5).double(), torch.randn(5).double()
    for dim in (0, 1, -1):
        for in_dim in (0, 1, 2):
            vmapped = (torch.vmap(lambda a, f=f, d=dim: f(a, d), in_dims=in_dim)(x) for f in (function, torchs))
            torch.testing.assert_close(*vmapped)
        pairs = [torch.func.jvp(lambda a, f=f, d=dim: f(a, d), (x[0],), (t,)) for f in (function, torchs)]
        torch.testing.assert_close(*pairs)
    loss = lambda f: lambda a: (f(a, -1) * weights).sum()
    for transform in (torch.func.hessian, lambda f: torch.func.jacfwd(torch.func.jacfwd(f)), torch.func.grad):
        torch.testing.assert_close(*(transform(loss(f))(x[0]) for f in (function, torchs)))
    per_sample = (torch.vmap(torch.func.grad(loss(f)))(x) for f in (function, torchs))
    torch.testing.assert_close(*per_sample)
    scalars = torch.vmap(lambda a: function(a, 0))(x[0, 0])
    assert scalars.tolist() == [1.0 if function is actlib.softmax else 0.0] * 5


@both
@pytest.mark.parametrize("in_dims", [(0, 0), (0, None), (None, 0), (1, 2)])
def test_vmap_over_scores_and_masks(function, torchs, in_dims):  # noqa: ARG001
    x, where = torch.randn(3, 4).double(), torch.rand(3, 4) < 0.7
    given = []
    for t, d in zip((x, where), in_dims, strict=True):
        many = torch.stack([t.roll(i, 0) for i in range(5)])
        given.append(t if d is None else many.movedim(0, d))
    vmapped = torch.vmap(lambda a, m: function(a, 1, where=m), in_dims=in_dims)(*given)
    pick = lambda t, d, i: t if d is None else t.select(d, i)
    looped = [function(pick(given[0], in_dims[0], i), 1, where=pick(given[1], in_dims[1], i)) for i in range(5)]
    torch.testing.assert_close(vmapped, torch.stack(looped))


@both
def test_compiles_to_one_graph(function, torchs):  # noqa: ARG001
    torch.compiler.reset()
    compiled = torch.compile(lambda t, m: function(t, -1, where=m), fullgraph=True, dynamic=True)
    for shape in [(3, 5), (2, 70)]:  # one compilation for both, and one more with a mask
        x, where, sent = torch.randn(shape, requires_grad=True), torch.rand(shape) < 0.8, torch.randn(shape)
        for mask in (None, where):
            ours, eager = compiled(x, mask), function(x, -1, where=mask)
            torch.testing.assert_close(ours, eager)
            torch.testing.assert_close(*(torch.autograd.grad(y, x, sent)[0] for y in (ours, eager)))


@both
def test_dtype_is_cast_to_first(function, torchs):
    x = torch.randn(3, 5).bfloat16().requires_grad_()
    for dtype in DTYPES:
        y = function(x, 1, dtype)
        assert y.dtype == dtype
        torch.testing.assert_close(y, torchs(x, 1, dtype))
        (slope,) = torch.autograd.grad(y.sum(), x)
        assert slope.dtype == torch.bfloat16
    assert torch.equal(function(torch.arange(3), 0, torch.float32), function(torch.arange(3.0), 0))


@both
def test_no_dim_chooses_as_torch_and_warns(function, torchs):
    for ndim in range(1, 5):
        x = torch.randn(2, 3, 4, 5)[(0,) * (4 - ndim)]
        with pytest.warns(UserWarning, match="dim is left to the caller"):
            y = function(x)
        assert torch.equal(y, function(x, 0 if ndim in (1, 3) else 1))
        with pytest.warns(UserWarning, match="Implicit dimension"):
            torch.testing.assert_close(y, getattr(nn.functional, torchs.__name__)(x))


@both
def test_backward_keeps_the_input_and_nothing_else(function, torchs):  # noqa: ARG001
    x, where, kept = torch.randn(3, 5, requires_grad=True), torch.rand(3, 5) < 0.5, []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        function(x, 1)
        function(x, 1, where=where)
    assert [t.data_ptr() for t in kept] == [t.data_ptr() for t in (x, where, x)]


@both
def test_kept_graphs_checkpoints_and_autocast(function, torchs):
    x, weights = torch.randn(3, 5, requires_grad=True), torch.randn(3, 5)
    call = lambda t: (function(t, 1) * weights).sum()
    output = call(x)
    first, second = (torch.autograd.grad(output, x, retain_graph=True) for _ in range(2))
    (again,) = torch.autograd.grad(checkpoint(call, x, use_reentrant=False), x)
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[0], again)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for dtype in (torch.float32, torch.bfloat16):
            assert function(x.to(dtype), 1).dtype == torchs(x.to(dtype), 1).dtype


@pytest.mark.parametrize(("layer", "torchs"), [(actlib.Softmax, nn.Softmax), (actlib.LogSoftmax, nn.LogSoftmax)])
def test_layers(layer, torchs):
    x = torch.randn(3, 5)
    torch.testing.assert_close(layer(1)(x), torchs(1)(x))
    assert repr(layer(dim=1)) == f"{layer.__name__}(dim=1)"
    for again in (copy.deepcopy(layer(1)), pickle.loads(pickle.dumps(layer(1))), nn.Sequential(layer(1))):
        assert torch.equal(again(x), layer(1)(x))
        assert again.state_dict() == {}
    with pytest.raises(TypeError, match=f"{layer.__name__}: dim must be an int, but str came"):
        layer("1")


@both
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([1.0], 0), TypeError, "input must be a tensor, but list came"),
        ((torch.arange(3), 0), TypeError, "but one of int64 came"),
        ((torch.ones(3, dtype=torch.complex64), 0), TypeError, "but one of complex64 came"),
        ((torch.ones(3, dtype=torch.complex64), 0, torch.float32), TypeError, "but one of complex64 came"),
        ((torch.ones(3), 1.0), TypeError, "dim must be an int, but float came"),
        ((torch.ones(3), True), TypeError, "dim must be an int, but bool came"),
        ((torch.ones(3, 4), 2), IndexError, r"dim must be from -2 to 1 for an input of shape \(3, 4\), but 2 came"),
        ((torch.ones(3, 4), -3), IndexError, "but -3 came"),
        ((torch.tensor(1.0), 1), IndexError, r"dim must be from -1 to 0 for an input of shape \(\), but 1 came"),
        ((torch.ones(3), 0, torch.int32), TypeError, "dtype must be float16, .* but torch.int32 came"),
        ((torch.ones(3), 0, "float32"), TypeError, "dtype must be float16, .* but float32 came"),
    ],
)
def test_bad_calls_are_refused_in_words(function, torchs, arguments, error, message):  # noqa: ARG001
    with pytest.raises(error, match=f"^{function.__name__}: {message}|{message}"):
        function(*arguments)


@both
@pytest.mark.parametrize(
    ("where", "error", "message"),
    [
        ([True] * 3, TypeError, "where must be a boolean tensor, but list came"),
        (torch.ones(3), TypeError, "where must be a boolean tensor, but float32 came"),
        (torch.ones(2, dtype=torch.bool), ValueError, r"where of shape \(2,\) does not broadcast .* \(3,\)"),
        (torch.ones(1, 3, dtype=torch.bool), ValueError, "does not broadcast"),
        (torch.ones(3, dtype=torch.bool, device="meta"), ValueError, "where is on meta, the input on cpu"),
    ],
)
def test_bad_masks_are_refused_in_words(function, torchs, where, error, message):  # noqa: ARG001
    with pytest.raises(error, match=message):
        function(torch.ones(3), 0, where=where)


def test_works_without_data():
    x = torch.empty(2, 3, device="meta", dtype=torch.bfloat16)
    assert actlib.softmax(x, 1).shape == (2, 3)
    assert actlib.log_softmax(x, 1).dtype == torch.bfloat16


KERNEL_SHAPES = [
    ((5,), 0), ((1,), 0), ((3, 1), 1), ((3, 1023), 1), ((2, 1025), 1), ((1025, 2), 0), ((3, 7, 5), 1), ((9, 4, 1), 0)
]  # fmt: skip


@both
@pytest.mark.parametrize(("shape", "dim"), KERNEL_SHAPES, ids=str)
@pytest.mark.parametrize("masked", [False, True])
def test_kernels_equal_the_torch_path_in_all_orders(function, torchs, shape, dim, masked, by_kernel):  # noqa: ARG001
    x, where = torch.randn(shape, device=DEVICE), torch.rand(shape, device=DEVICE) < 0.7
    call = lambda t: function(t, dim, where=where) if masked else function(t, dim)
    ours = by_kernel(derivatives, call, x)
    theirs = derivatives(call, x) if DEVICE == "cpu" else [t.to(DEVICE) for t in derivatives(call, x.cpu())]
    # Two ulp an exponential; sums of terms of size 1 may cancel.
    assert_all_close(ours, theirs, rtol=2**-20, atol=2**-20)


@both
@pytest.mark.parametrize("block", [16, 64])
def test_kernels_take_rows_longer_than_a_block(function, torchs, block, by_kernel, monkeypatch):  # noqa: ARG001
    monkeypatch.setattr(softmax_kernels, "BLOCK", block)
    rising = torch.linspace(-20, 20, 2 * 70, device=DEVICE).view(2, 70)  # the largest is ever the last
    ties = torch.tensor([3.0, 1.0, 3.0, 3.0], device=DEVICE).repeat(2, 20)
    holes = torch.where(rising.abs() < 5, -torch.inf, rising)
    random = torch.randn(3, 70, device=DEVICE)
    rows = rising, rising.flip(1), ties, holes, holes.flip(1), random
    for dim, t in (*((1, x) for x in rows), (0, random.T)):
        ours = by_kernel(derivatives, lambda a, d=dim: function(a, d), t)
        theirs = derivatives(lambda a, d=dim: function(a, d), t.cpu())
        assert_all_close([o.cpu() for o in ours], theirs, rtol=2**-19, atol=2**-19)


@both
def test_kernels_at_the_ends_of_the_number_line(function, torchs, by_kernel):  # noqa: ARG001
    inf, nan = torch.inf, torch.nan
    largest, tiny = 3.4e38, 1e-45
    rows = [
        [-inf, 0, 1], [-inf] * 3, [nan, 0, 1], [inf, 0, 1], [inf, inf, 0], [inf, -inf, -inf],
        [largest, -largest, 0], [largest, largest, largest], [tiny, -tiny, 0], [0, 0, 0], [100, 0, -100],
    ]  # fmt: skip
    x = torch.tensor(rows, device=DEVICE)
    ours = by_kernel(derivatives, lambda t: function(t, 1), x)
    theirs = derivatives(lambda t: function(t, 1), x.cpu())
    assert_all_close([o.cpu() for o in ours], theirs, rtol=2**-20, atol=2**-126, equal_nan=True)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_accuracy_of_the_kernels_in_float32(name, by_kernel, in_float32):  # noqa: ARG001
    activation = actlib.ACTIVATIONS[name]
    columns = accuracy.paired(accuracy.random_finite(torch.float32, 1 << 12), len(activation.inputs))
    entry = lambda *columns: activation.entry(*(c.to(DEVICE) for c in columns)).cpu()
    largest = by_kernel(mixed_errors, activation.default_formula, activation.inputs, entry, columns)
    assert max(largest) <= (8 if DEVICE == "cuda" else 6)


def with_sink_by_torch(x, sink, dim=-1):
    shape = [1 if i == dim % x.ndim else n for i, n in enumerate(x.shape)]
    return torch.softmax(torch.cat([x, sink.expand(shape)], dim), dim).narrow(dim, 0, x.shape[dim])


@pytest.mark.parametrize("dim", [1, 2, -1])
@pytest.mark.parametrize("shape", [(), (3, 1, 1), (2, 1, 1, 1)], ids=str)
def test_a_sink_takes_its_share(dim, shape):
    x, sink = torch.randn(2, 3, 4, 5).double().requires_grad_(), torch.randn(shape).double().requires_grad_()
    if dim == 1 and shape == (3, 1, 1):
        with pytest.raises(ValueError, match=r"sink of shape \(3, 1, 1\) does not broadcast to \(2, 1, 4, 5\)"):
            actlib.softmax_with_sink(x, dim, sink=sink)
        return
    call = lambda x, sink: actlib.softmax_with_sink(x, dim, sink=sink)
    ours, theirs = call(x, sink), with_sink_by_torch(x, sink, dim)
    torch.testing.assert_close(ours, theirs)
    sent = torch.randn_like(ours)
    torch.testing.assert_close(*(torch.autograd.grad(y, (x, sink), sent) for y in (ours, theirs)))
    few = (x[:, :, :2, :2].detach().requires_grad_(), sink)
    assert torch.autograd.gradcheck(call, few, check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(call, few)
    assert ours.is_contiguous()


def test_a_sink_of_0_is_softmax_off_by_one():
    x = torch.tensor([[0.5, -1.0, 2.0], [-60.0, -70.0, -80.0]], dtype=torch.float64)
    expected = x.exp() / (1 + x.exp().sum(1, keepdim=True))
    torch.testing.assert_close(actlib.softmax_with_sink(x, 1), expected, rtol=1e-14, atol=0)
    nothing = torch.full((2, 3), -torch.inf)
    assert actlib.softmax_with_sink(nothing, 1).tolist() == [[0.0] * 3] * 2
    assert actlib.softmax_with_sink(torch.tensor(0.0), 0) == 0.5
    half = actlib.softmax_with_sink(torch.tensor([0, 1]), 0, torch.float16)
    assert half.dtype == torch.float16
    where = torch.tensor([True, False, True])
    masked = actlib.softmax_with_sink(x, 1, where=where)
    torch.testing.assert_close(masked[:, [0, 2]], actlib.softmax_with_sink(x[:, [0, 2]], 1))
    assert masked[:, 1].tolist() == [0, 0]


def test_layer_with_sinks_of_heads():
    layer, x = actlib.SoftmaxWithSink(-1, heads=3), torch.randn(2, 3, 4, 5)
    torch.testing.assert_close(layer(x), actlib.softmax_with_sink(x, -1))
    layer.sink.data.normal_()
    torch.testing.assert_close(layer(x), with_sink_by_torch(x, layer.sink.view(3, 1, 1)))
    assert [*layer.state_dict()] == ["sink"]
    assert repr(layer) == "SoftmaxWithSink(dim=-1, heads=3)"
    assert repr(actlib.SoftmaxWithSink()) == "SoftmaxWithSink(dim=-1)"
    for again in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), nn.Sequential(layer)):
        assert torch.equal(again(x), layer(x))
    torch.compiler.reset()
    torch.testing.assert_close(torch.compile(layer, fullgraph=True)(x), layer(x))
    assert torch.equal(actlib.SoftmaxWithSink()(x), actlib.softmax_with_sink(x, -1))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: actlib.softmax_with_sink([1.0], 0), TypeError, "input must be a tensor, but list came"),
        (lambda: actlib.softmax_with_sink(torch.ones(3), None), TypeError, "dim must be an int, but NoneType came"),
        (lambda: actlib.softmax_with_sink(torch.ones(3), 1), IndexError, "dim must be from -1 to 0"),
        (lambda: actlib.softmax_with_sink(torch.ones(3), 0, torch.int8), TypeError, "dtype must be float16"),
        (lambda: actlib.softmax_with_sink(torch.ones(3), 0, sink="0"), TypeError, "sink must be a real number"),
        (lambda: actlib.softmax_with_sink(torch.ones(3), 0, sink=torch.ones(3)), ValueError, r"broadcast to \(1,\)"),
        (lambda: actlib.softmax_with_sink(torch.ones(3), 0, where=torch.ones(3)), TypeError, "where must be a boolean"),
        (lambda: actlib.SoftmaxWithSink(None), TypeError, "dim must be an int, but NoneType came"),
        (lambda: actlib.SoftmaxWithSink(1, 1.5), TypeError, "heads must be an int or None, but float came"),
        (lambda: actlib.SoftmaxWithSink(1, 0), ValueError, "heads must be at least 1, but 0 came"),
        (lambda: actlib.SoftmaxWithSink(1, 2)(torch.ones(1, 3, 4)), ValueError, r"shape \(batch, 2, \.\.\.\)"),
    ],
)  # fmt: skip
def test_what_sinks_cannot_take_is_refused_in_words(call, error, message):
    with pytest.raises(error, match=message):
        call()


@both
@every_dtype
def test_infinite_scores_of_every_type(function, torchs, dtype):  # noqa: ARG001
    """One takes all, which is the limit; of several there is none."""
    inf, limit = torch.inf, [1, 0, 0] if function is actlib.softmax else [0, -torch.inf, -torch.inf]
    rows = torch.tensor([[inf, 0, -inf], [inf, 3e38, -3e38], [inf, 0, inf], [inf] * 3, [-inf] * 3]).to(dtype)
    if dtype == torch.float16:
        rows[1, 1:] = torch.tensor([6e4, -6e4])
    for made in (function(rows, 1), function(rows.T, 0).T):
        assert made[:2].tolist() == [limit] * 2
        assert made[2:].isnan().all()


def exact_row(logarithm, x, g):
    """Values and slopes of a row of scores, given gradients from upstream, to more digits than float64 holds."""
    x, g, top = list(map(flint.arb, x)), list(map(flint.arb, g)), x.index(max(x))
    distances = [score - x[top] for score in x]
    weights = [d.exp() if d > -1000 else flint.arb(0) for d in distances]
    rest = sum(weights[:top] + weights[top + 1 :], flint.arb(0))
    total = rest + 1
    if logarithm:
        mean = sum(g, flint.arb(0)) / total
        slopes = [u - w * mean for u, w in zip(g, weights, strict=True)]
        slopes[top] = (g[top] * rest - sum(g[:top] + g[top + 1 :], flint.arb(0))) / total
        return [d - rest.log1p() for d in distances], slopes
    g = [u - g[top] for u in g]
    mean = sum((u * w for u, w in zip(g, weights, strict=True)), flint.arb(0)) / total
    return [w / total for w in weights], [w / total * (u - mean) for u, w in zip(g, weights, strict=True)]


def row_errors(function, x, g):
    """The largest errors of values and slopes of rows, in ulp; of normal numbers alone."""
    x = x.detach().requires_grad_()
    y = function(x.to(DEVICE), -1).cpu()
    computed = [y.detach(), *torch.autograd.grad(y, x, g)]
    with flint.ctx.workprec(700):
        rows = [exact_row(function is actlib.log_softmax, *row) for row in zip(x.tolist(), g.tolist(), strict=True)]
        truths = [np.array([[float(v) for v in made] for made in kind]) for kind in zip(*rows, strict=True)]
    least = torch.finfo(x.dtype).smallest_normal
    pairs = zip(computed, truths, strict=True)
    return [np.where(np.abs(t) >= least, accuracy.ulp_error(c, t), 0).max() for c, t in pairs]


def slopes_and_terms(function, x, g):
    """Slopes of rows, and the sizes of what they are the sums of."""
    p = torch.softmax(x.detach().double(), 1)
    (slopes,) = torch.autograd.grad(function(x, 1), x, g)
    size = g.double().abs()
    terms = size + p * size.sum(1, keepdim=True)
    if function is actlib.softmax:
        terms = p * (size + (p * size).sum(1, keepdim=True))
    return slopes.double().numpy(), terms.numpy()


def patterns(shape, seed, bound=torch.inf):
    """Float32 numbers of random bit patterns; others in place of those beyond the bound."""
    numbers = accuracy.random_finite(torch.float32, shape.numel(), seed).view(shape)
    return torch.where(numbers.abs() < bound, numbers, 20 * torch.randn(shape))


LENGTHS = [2, 3, 5, 7, 16, 17, 31, 33, 64, 100, 128, 129, 1024, 4096]
SCORES = {
    "ordinary": lambda shape: 3 * torch.randn(shape),
    "random patterns": lambda shape: patterns(shape, 1),
    "random patterns within 100": lambda shape: patterns(shape, 2, 100),
    "far apart": lambda shape: 40 * torch.randn(shape),
    "with ties": lambda shape: torch.randn(shape).round(),
    "next to each other": lambda shape: torch.randn(shape) * torch.logspace(-6, 0, shape[0])[:, None],
}
HALF_SCORES = [scores for name, scores in SCORES.items() if not name.startswith("random")]
"""Of which half precision has enough."""

GRADIENTS = {
    "ordinary": torch.randn,
    "random patterns": lambda shape: patterns(shape, 3),
    "one alone": lambda shape: torch.zeros(shape).scatter_(1, torch.randint(shape[1], (shape[0], 1)), 1),
    "equal": torch.ones,
    "of few values, whose mean may be one": lambda shape: 1 + (torch.randn(shape) / 128).bfloat16().float(),
    "largest": lambda shape: torch.finfo(torch.float32).max * torch.randn(shape).sign(),
}


HALF_GRADIENTS = [gradients for name, gradients in GRADIENTS.items() if name not in ("random patterns", "largest")]


@of_machine_code
@pytest.mark.skipif(DEVICE == "cuda", reason="of machine code for the CPU")
@pytest.mark.parametrize("length", LENGTHS)
@both
def test_every_value_and_slope_in_float32_is_within_an_ulp(function, torchs, length):  # noqa: ARG001
    torch.manual_seed(length)
    shape = torch.Size([max(1, 1024 // length), length])
    for scores in SCORES.values():
        for gradients in GRADIENTS.values():
            assert max(row_errors(function, scores(shape), gradients(shape))) <= accuracy.SINGLE_BAR


@pytest.mark.parametrize("length", [2, 3, 7, 16, 33, 129, 1024])
@both
def test_kernels_in_float64_are_within_an_ulp(function, torchs, length, by_kernel, in_double):  # noqa: ARG001
    torch.manual_seed(length)
    shape = torch.Size([max(1, 128 // length), length])
    for scores in SCORES.values():
        for gradients in HALF_GRADIENTS:
            assert max(by_kernel(row_errors, function, scores(shape), gradients(shape))) <= accuracy.SINGLE_BAR


@of_machine_code
@pytest.mark.skipif(DEVICE == "cuda", reason="of machine code for the CPU")
@pytest.mark.parametrize("length", [2, 3, 4, 7, 10, 16])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@both
def test_slopes_of_short_rows_in_half_precision(function, torchs, dtype, length):  # noqa: ARG001
    """Of few terms, all may cancel: as in 1 - 2p next to p = 1/2."""
    torch.manual_seed(length)
    shape = torch.Size([512 // length, length])
    for scores in HALF_SCORES:
        for gradients in HALF_GRADIENTS:
            assert max(row_errors(function, scores(shape).to(dtype), gradients(shape).to(dtype))) <= accuracy.BAR


@of_machine_code
@pytest.mark.skipif(DEVICE == "cuda", reason="of machine code for the CPU")
@pytest.mark.parametrize("length", [17, 100, 129, 1025, 300_001])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@both
def test_scores_next_to_each_other_in_half_precision(function, torchs, dtype, length):  # noqa: ARG001
    torch.manual_seed(length)
    shape = torch.Size([max(1, 2048 // length), length])
    sizes = torch.logspace(-6, -2.5, shape[0])[:, None] if length < 10_000 else 1e-3
    for gradients in HALF_GRADIENTS:
        errors = row_errors(function, (torch.randn(shape) * sizes).to(dtype), gradients(shape).to(dtype))
        assert max(errors) <= accuracy.BAR


@of_machine_code
@pytest.mark.skipif(DEVICE == "cuda", reason="of machine code for the CPU")
@pytest.mark.parametrize("length", [17, 128, 129, 1025, 300_001])
@both
def test_large_gradients_bring_back_small_shares(function, torchs, length):  # noqa: ARG001
    """Next to gradients of 1e38, shares from 1e-70 on count."""
    torch.manual_seed(length)
    shape = torch.Size([max(1, 1024 // length), length])
    x, g = torch.randn(shape) - 120, torch.zeros(shape)
    x[:, 3], g[:, 3] = 0, 1e38
    x[:, 5], g[:, 5] = -160, 3e38
    assert max(row_errors(function, x.bfloat16(), g.bfloat16())) <= accuracy.BAR


def one_far(length, far, dtype, first, others=0.0):
    """A row of equal scores but for the last, and the gradients of the first and of the others."""
    x, g = torch.zeros(1, length, dtype=dtype), torch.full((1, length), others, dtype=dtype)
    x[0, -1], g[0, 0] = far, first
    return x, g


every_far = pytest.mark.parametrize("far", [-10, -40, -80])
every_long = pytest.mark.parametrize("length", [17, 48, 130, 1000])


@of_machine_code
@pytest.mark.skipif(DEVICE == "cuda", reason="of machine code for the CPU")
@every_far
@every_long
@both
def test_a_score_far_from_equal_ones(function, torchs, length, far):  # noqa: ARG001
    for dtype, bar in ((torch.float32, accuracy.SINGLE_BAR), (torch.bfloat16, accuracy.BAR)):
        assert max(row_errors(function, *one_far(length, far, dtype, 1))) <= bar


@every_far
@every_long
@both
def test_a_score_far_from_equal_ones_in_kernels(function, torchs, length, far, by_kernel, in_double):  # noqa: ARG001
    assert max(by_kernel(row_errors, function, *one_far(length, far, torch.float32, 1))) <= accuracy.SINGLE_BAR


@every_long
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@both
def test_a_score_of_minus_infinity_beside_equal_ones(function, torchs, length, dtype):  # noqa: ARG001
    x, g = one_far(length, -torch.inf, dtype, 1e30, others=1)
    (slopes,) = torch.autograd.grad(function(x.requires_grad_(), 1), x, g)
    assert slopes[0, -1] == (1 if function is actlib.log_softmax else 0)


@both
@pytest.mark.parametrize("rest", [0.0, -1e4, -torch.inf])
@pytest.mark.parametrize("length", [17, 65, 127, 4097])
def test_large_gradients_of_long_rows_do_not_overflow(function, torchs, length, rest):  # noqa: ARG001
    x, most = torch.full((1, length), rest).bfloat16(), torch.finfo(torch.bfloat16).max
    x[0, 0] = 50
    x.requires_grad_()
    (slopes,) = torch.autograd.grad(function(x, 1), x, torch.full_like(x, most))
    expected = most if function is actlib.log_softmax else 0
    assert slopes[0, 1:].tolist() == [expected] * (length - 1)


@of_machine_code
@pytest.mark.skipif(DEVICE == "cuda", reason="of machine code for the CPU")
@pytest.mark.parametrize("length", [17, 100, 1000])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@both
def test_slopes_of_long_rows_lack_little_of_their_terms(function, torchs, dtype, length):  # noqa: ARG001
    """Where terms happen to cancel, half an ulp of the slope may be less than what they are known to."""
    torch.manual_seed(length)
    shape = torch.Size([4096 // length, length])
    for scores in HALF_SCORES:
        for gradients in (*HALF_GRADIENTS, lambda shape: 300 * torch.randn(shape)):
            x, g = scores(shape).to(dtype), gradients(shape).to(dtype)
            slopes, _ = slopes_and_terms(function, x.requires_grad_(), g)
            truths, terms = slopes_and_terms(function, x.detach().double().requires_grad_(), g.double())
            close = accuracy.ulp(truths, dtype) / 2 + 2**-20 * terms
            assert (np.abs(slopes - truths) <= close).all()


@of_machine_code
@pytest.mark.skipif(DEVICE == "cuda", reason="of machine code for the CPU")
@pytest.mark.parametrize("length", [3, 17, 129])
def test_slopes_next_to_0_are_within_an_ulp(length):
    """Where the bracket of a slope cancels: a gradient next to the mean of all, by ever less."""
    torch.manual_seed(length)
    x, g = torch.randn(40, length), torch.randn(40, length)
    p = torch.softmax(x.double(), 1)
    g[:, 0] = ((p * g)[:, 1:].sum(1) / p[:, 1:].sum(1)).float()
    assert max(row_errors(actlib.softmax, x, g)) <= accuracy.SINGLE_BAR


@both
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("length", [3, 40, 300])
def test_the_largest_gradients_are_no_infinite_ones(function, torchs, dtype, length):
    x, sent = torch.randn(20, length).to(dtype), torch.randn(20, length).sign() * torch.finfo(dtype).max / 8
    slopes = []
    for f, t in ((function, x), (torchs, x.double())):
        t.requires_grad_()
        slopes.append(torch.autograd.grad(f(t, 1), t, sent.to(t.dtype))[0])
    ours, theirs = (s.double() / float(sent.abs().max()) for s in slopes)
    torch.testing.assert_close(ours, theirs, rtol=4 * torch.finfo(dtype).eps, atol=4 * torch.finfo(dtype).eps)
