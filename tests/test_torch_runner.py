"""The quick ways of the torch runner give what the branch-free ones give, on any thread."""

import multiprocessing
import operator

import pytest
import torch
from formulas import CASES, ELEMENTWISE, alpha, every_elementwise, values, x
from sympy import Piecewise

from actlib import ACTIVATIONS, Elementwise, elementwise
from actlib.backends import torch_fused, torch_runner
from actlib.backends.torch_runner import TILE
from actlib.formula.primitives import sigma

COMPARE = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}
ENDS = [-torch.inf, -3.5, -1e-45, -0.0, 0.0, 1e-45, 2.0, 2.0000002, torch.inf]


@pytest.fixture
def two_threads():
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("bound", [0, -0.0, 2.0, -3.5, torch.inf])
@pytest.mark.parametrize("relation", COMPARE)
def test_a_choice_is_where_to_the_bit(relation, bound, dtype):
    given = torch.tensor(ENDS, dtype=dtype)
    first = torch.tensor([1.0, -torch.inf, 2.0, -0.0, torch.nan, 3.0, -0.0, torch.inf, 4.0], dtype=dtype)
    for value, other in ((first, first.flip(0)), (first, 0), (0, first), (first, -1.5), (2, first)):
        expected = torch.where(COMPARE[relation](given, bound), value, other).to(dtype)
        chosen = torch_runner.chosen(relation, given, bound, value, other)
        bits = torch_runner.BITS[dtype]
        assert torch.equal(chosen.view(bits), expected.view(bits))


def test_a_choice_may_be_by_tensors_of_other_shapes():
    op = Elementwise("bent", [x], Piecewise((x, x > alpha), (alpha * x, True)), [alpha])
    points, bounds = torch.randn(3, 4), torch.randn(4)
    expected = torch.where(points > bounds, points, bounds * points)
    assert torch.equal(op(points, bounds), expected)
    assert torch.equal(op(points, 0.25), torch.where(points > 0.25, points, 0.25 * points))


@every_elementwise
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_quick_ways_agree_with_the_branch_free_one(activation, dtype, monkeypatch):
    ends = torch.tensor([*ENDS, torch.nan, -100.0, 100.0, 1.0, -1.0], dtype=torch.float64)
    for some in (ends, ends[ends.isfinite() & (ends.abs() < 80)], torch.empty(0, dtype=torch.float64)):
        inputs = [some.to(dtype), *(some.flip(0).to(dtype) for _ in activation.inputs[1:])]
        for op, given in (
            (activation.op, inputs),
            (activation.op.vjp(tuple(range(len(inputs)))), [torch.ones_like(inputs[0]), *inputs]),
        ):
            quick = op._run([*given, *values(activation)])
            with monkeypatch.context() as patch:
                patch.setattr(torch_runner, "is_plain", lambda _: False)
                slow = op._run([*given, *values(activation)])
            step = 8 * torch.finfo(dtype).eps
            for a, b in zip(quick, slow, strict=True):
                torch.testing.assert_close(a, b, rtol=step, atol=step / 8, equal_nan=True)


def test_torchs_own_operations_are_found_by_formula():
    names = {a.name for a in ELEMENTWISE if torch_fused.find(a.op.symbols, a.op.outputs)}
    assert names == {"sigmoid", "tanh", "relu", "elu", "silu", "swish", "swiglu"}
    for name in names:
        op = ACTIVATIONS[name].op
        assert op.vjp(tuple(range(len(op.inputs))))._fused
    assert Elementwise("another", [alpha], alpha * sigma(alpha))._fused is ACTIVATIONS["silu"].op._fused
    assert CASES["cubic inside"].op._fused is None


def test_parameters_that_torch_lacks_are_generated():
    points, slopes = torch.randn(100), torch.full((100,), 1.5)
    for name in ("elu", "swish"):
        op = ACTIVATIONS[name].op
        torch.testing.assert_close(op(points, slopes), op(points, 1.5))


@pytest.mark.usefixtures("two_threads")
class TestThreads:
    def test_give_what_one_gives(self):
        points = torch.randn(9 * TILE + 5)
        for name in ("gelu", "silu", "elu"):
            function = ACTIVATIONS[name].function
            two = function(points)
            torch.set_num_threads(1)
            assert torch.equal(function(points), two)
            torch.set_num_threads(2)

    def test_leave_torchs_number_of_threads_alone(self):
        ACTIVATIONS["gelu"].function(torch.randn(3 * TILE))
        assert torch.get_num_threads() == 2

    def test_serve_inference_mode_and_gradients(self):
        points = torch.randn(3 * TILE)
        with torch.inference_mode():
            inferred = ACTIVATIONS["gelu"].function(points * 1)
        moving = points.clone().requires_grad_()
        output = ACTIVATIONS["gelu"].function(moving)
        assert torch.equal(inferred, output.detach())
        assert torch.autograd.grad(output.sum(), moving)[0].isfinite().all()

    def test_report_errors(self):
        def task(item):
            raise RuntimeError(f"no {item}")

        with pytest.raises(RuntimeError, match="no 7"):
            torch_runner.share_out(task, [7])

    def test_each_item_comes_once(self):
        done = []
        torch_runner.share_out(done.append, range(1000))
        assert sorted(done) == list(range(1000))

    def test_survive_a_fork(self):
        ACTIVATIONS["gelu"].function(torch.randn(3 * TILE))
        child = multiprocessing.get_context("fork").Process(target=elementwise.torch_runner.share_out, args=(abs, [1]))
        child.start()
        child.join(60)
        assert child.exitcode == 0


GATES = {
    "g*sigma(-t0)*sigma(t0) + sigma(-x)": lambda g, x: g * (-2 * x).sigmoid() * (2 * x).sigmoid() + (-x).sigmoid(),
    "sigma(x)*g*sigma(-x)": lambda g, x: x.sigmoid() * g * (-x).sigmoid(),
    "sigma(-3*x*g)*sigma(3*x*g)": lambda g, x: (-3 * x * g).sigmoid() * (3 * x * g).sigmoid(),
}
OTHERS = {  # in which nothing is mirrored, though it looks like it
    "sigma(-x + 1)*sigma(x + 1)": lambda g, x: (-x + 1).sigmoid() * (x + 1).sigmoid(),  # noqa: ARG005
    "sigma(-x*g + 1)*sigma(x*g + 1)": lambda g, x: (-x * g + 1).sigmoid() * (x * g + 1).sigmoid(),
    "g*sigma(x)*sigma(x)": lambda g, x: g * x.sigmoid() ** 2,
}


@pytest.mark.parametrize("text", [*GATES, *OTHERS])
def test_gates_that_mirror_each_other_take_one_exponential(text):
    f = torch_runner.load("f", f"def f(g, x):\n    t0 = 2*x\n    return {text}\n")
    points = torch.linspace(-30, 30, 201)
    factor = torch.linspace(-2, 1, 201)
    expected = (GATES | OTHERS)[text](factor.double(), points.double())
    for function in (f, f.quick):
        torch.testing.assert_close(function(factor, points).double(), expected, rtol=1e-5, atol=1e-38)
    assert ("bell" in f.quick.__code__.co_names) == (text in GATES)
    assert ("mirrored_sigma" in f.__code__.co_names) == (text in GATES)
