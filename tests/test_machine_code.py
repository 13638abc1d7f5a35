"""Machine code for the CPU gives what plain torch gives, whatever the processor, the size and the number of threads."""

import itertools
import math
import multiprocessing
import os
import struct
import subprocess
import sys

import llvmlite.binding as llvm
import mpmath
import pytest
import sympy as sp
import torch
from formulas import CASES, alpha, every_elementwise, of_machine_code, values, x, y
from torch.nn import functional

import actlib
from actlib import ACTIVATIONS, Elementwise, accuracy
from actlib.backends import doubles, llvm_runner, llvm_softmax, machine_code, rough, torch_runner
from actlib.backends.vectors import BLOCK, PRIMITIVES
from actlib.formula import source
from actlib.formula.primitives import Phi, sigma

ENDS = torch.tensor(
    [-torch.inf, -3.4e38, -100.0, -3.5, -1.0, -1e-45, -0.0, 0.0, 1e-45, 1.0, 2.0, 2.0000002, 100.0, 3.4e38, torch.inf]
    + [torch.nan, -1e-30, 88.5, -88.5, 0.3465, -0.3467],
    dtype=torch.float64,
)
PROCESSORS = {"haswell": "+avx2,+fma,+f16c", "skylake-avx512": "+avx512f,+avx512bw,+avx512vl,+avx512dq,+fma,+f16c"}


@pytest.fixture(params=[1, 2, 3], ids="{} threads".format)
def threads(request):
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(1)


@pytest.fixture
def without_team(monkeypatch):
    """As on a system where torch's OpenMP is not to be found."""
    monkeypatch.setattr(llvm_runner, "_TEAM", None)
    llvm_runner.KERNELS.clear()
    yield
    llvm_runner.KERNELS.clear()


def kinds(op, dtype):
    """What `make` is told of inputs of a type and numbers as parameters."""
    return (dtype,) * len(op.inputs) + (llvm_runner.NUMBER,) * len(op.parameters)


@every_elementwise
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_agrees_with_plain_torch(activation, dtype, monkeypatch):
    inputs = [ENDS.to(dtype), *(ENDS.flip(0).to(dtype) for _ in activation.inputs[1:])]
    for op, given in (
        (activation.op, inputs),
        (activation.op.vjp(tuple(range(len(inputs)))), [torch.ones_like(inputs[0]), *inputs]),
    ):
        assert op._has_machine_code
        ours = op._run([*given, *values(activation)])
        with monkeypatch.context() as patch:
            patch.setattr(llvm_runner, "takes", lambda _: False)
            plain = op._run([*given, *values(activation)])
        step = 16 * torch.finfo(dtype).eps
        for a, b in zip(ours, plain, strict=True):
            assert a.dtype == b.dtype
            torch.testing.assert_close(a, b, rtol=step, atol=max(step / 16, torch.finfo(dtype).tiny), equal_nan=True)


@pytest.mark.parametrize("name", ["tanh", "elu", "silu", "gelu", "softsign"])
def test_zero_keeps_its_sign(name):
    zeros = torch.tensor([-0.0, 0.0] * 10)
    activation = ACTIVATIONS[name]
    assert torch.equal(activation.op(zeros, *values(activation)).signbit(), zeros.signbit())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_conversion_of_every_pattern_is_torchs(dtype):
    """Loads and stores, subnormal numbers, infinities and ties included."""
    if dtype == torch.float32:
        numbers = torch.randint(-(2**31), 2**31 - 1, (1 << 18,), dtype=torch.int32).view(torch.float32)
    else:
        numbers = torch.arange(-(1 << 15), 1 << 15, dtype=torch.int32).to(torch.int16).view(dtype)
    expected = (numbers.float() / 2).to(dtype)
    alone = Elementwise("halved", [x], x / 2)(numbers)
    beside_float32 = Elementwise("scaled", [x], x * alpha, [alpha])(numbers, torch.full(numbers.shape, 0.5))
    for made in (alone, beside_float32):
        assert torch.equal(made.nan_to_num(7), expected.nan_to_num(7))
        assert torch.equal(made.isnan(), expected.isnan())


def test_every_nan_stays_one():
    """Also one of which all bits are 1, that rounding to bfloat16 would carry over to zero."""
    (nan,) = struct.unpack("d", b"\xff" * 8)
    every = torch.tensor([nan]).view(torch.int32).fill_(-1).view(torch.float32)
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        ones = torch.ones(40, dtype=dtype)
        for parameter in (nan, every, every.expand(40).contiguous()):
            assert actlib.swish(ones, parameter).isnan().all()


@of_machine_code
@pytest.mark.parametrize("count", [1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK + 3, 1000])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
def test_the_last_vector_is_as_the_others(count, dtype):
    """Each number gives the same bits wherever it stands, and nothing is written outside of the result."""
    op = ACTIVATIONS["gelu"].op
    room = torch.full((count + 2 * BLOCK,), 7.0, dtype=dtype)
    given = torch.linspace(-3, 3, count + 2 * BLOCK).to(dtype)
    kind = kinds(op, llvm_runner.DTYPES[dtype])
    kernel = llvm_runner.make(op.name, op.torch_source, kind, kind, op.numbers(dtype))
    size = room.element_size()
    kernel(count, 1, room.data_ptr() + BLOCK * size, given.data_ptr() + BLOCK * size)
    assert (room[:BLOCK] == 7).all()
    assert (room[-BLOCK:] == 7).all()
    assert torch.equal(room[BLOCK:-BLOCK], op(given)[BLOCK:-BLOCK])


class TestThreads:
    @pytest.mark.parametrize("count", [llvm_runner.SHARE - 1, llvm_runner.SHARE, 3 * llvm_runner.SHARE + 7])
    def test_change_no_bit(self, count, threads):
        op = ACTIVATIONS["swiglu"].op
        gate, value = torch.randn(2, count)
        together = op(gate, value, 1.5)
        apart = torch.cat([op(a, b, 1.5) for a, b in zip(gate.split(1000), value.split(1000), strict=True)])
        assert torch.equal(together, apart)
        assert torch.get_num_threads() == threads

    def test_share_rows(self, threads):  # noqa: ARG002
        rows = torch.randn(300, 1001)
        assert torch.equal(actlib.softmax(rows, 1), torch.cat([actlib.softmax(r, 1) for r in rows.split(1)]))

    @pytest.mark.usefixtures("without_team")
    def test_need_no_openmp(self, threads):  # noqa: ARG002
        numbers = torch.randn(5 * llvm_runner.SHARE + 3)
        kernel = llvm_runner.make("half", "def half(x):\n    return 0.5*x\n", ("float32",), ("float32",))
        out = torch.zeros_like(numbers)
        kernel(len(numbers), torch.get_num_threads(), out.data_ptr(), numbers.data_ptr())
        assert torch.equal(out, numbers / 2)

    def test_are_those_of_torch(self):
        """Torch's wheels for Linux bring an OpenMP that kernels find."""
        if sys.platform == "linux":
            assert llvm_runner._TEAM is not None

    @pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # since Python 3.12: what is tested here
    def test_one_thread_survives_a_fork(self):
        if sys.platform != "linux":
            pytest.skip("elsewhere processes start anew: see test_platforms")
        actlib.gelu(torch.randn(100))
        child = multiprocessing.get_context("fork").Process(target=actlib.gelu, args=(torch.randn(100),))
        child.start()
        child.join(60)
        assert child.exitcode == 0


def on_every_processor(kernel, out, call):
    """What a kernel writes to `out` when it is compiled for each of the processors, which all have fused steps."""
    if not llvm.get_host_cpu_features().get("avx512bw"):
        pytest.skip("this processor lacks AVX-512")
    results = []
    source, *rest = kernel
    for cpu, features in PROCESSORS.items():
        call(llvm_runner.Kernel(lambda: source, *rest, cpu, features), out.fill_(7).data_ptr())
        results.append(out.clone())
    assert torch.equal(*(r.isnan() for r in results))
    bits = torch.int32 if out.dtype == torch.float32 else torch.int16
    assert torch.equal(*(r.nan_to_num(7).view(bits) for r in results))


@pytest.mark.parametrize(
    ("dtype", "numbers"),
    [(torch.bfloat16, n) for n in ("single", "near")] + [(torch.float32, n) for n in ("single", "double", "rough")],
    ids=str,
)
@of_machine_code
@every_elementwise
def test_bits_are_the_same_on_every_processor_with_fused_steps(activation, dtype, numbers):
    op = activation.op
    given = torch.cat([torch.linspace(-20, 20, 1001), ENDS.float()]).to(dtype)
    kind = llvm_runner.DTYPES[dtype]
    text = llvm_runner.kernel_source(op.name, op.torch_source, kinds(op, kind), (kind,), numbers)
    arguments = [given.data_ptr()] * len(op.inputs) + list(map(float, values(activation)))
    fields = "Q" * (1 + len(op.inputs)) + "d" * len(op.parameters)
    on_every_processor(
        (text, fields, 64), torch.empty_like(given), lambda kernel, out: kernel(len(given), 1, out, *arguments)
    )


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("logarithm", [False, True])
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("length", [10, 16, 23, 83, 128, 11 * BLOCK + 5])
def test_rows_give_the_same_bits_on_every_processor(logarithm, backward, dtype, length):
    kinds = (dtype,) * (1 + backward)
    given = [torch.randn(7, length).to(getattr(torch, dtype)) for _ in kinds]
    room = torch.empty(length + BLOCK, dtype=torch.float64)
    _, more = llvm_softmax._kernel(logarithm, kinds, dtype, llvm_softmax._form(length))
    arguments = [*(t.data_ptr() for t in (*given, room)), *more]
    text = llvm_softmax.kernel_source(logarithm, kinds, dtype, llvm_softmax._form(length))
    on_every_processor(
        (text, "Q" * (2 + len(arguments)), 1), given[0].clone(), lambda k, out: k(7, 1, length, out, *arguments)
    )


@pytest.mark.parametrize("logarithm", [False, True])
@pytest.mark.parametrize(("dtype", "in_pairs"), [("float32", True), ("bfloat16", False)])
@pytest.mark.parametrize("length", [5, 11 * BLOCK + 5])
def test_rows_with_all_digits_give_the_same_bits_on_every_processor(logarithm, dtype, in_pairs, length):
    given = torch.randn(2, 7, length).to(getattr(torch, dtype))
    places = [t.data_ptr() for t in given]
    text = llvm_softmax.exact_source(logarithm, (dtype, dtype), dtype, in_pairs=in_pairs)
    on_every_processor((text, "QQQQ", 1), given[0].clone(), lambda kernel, out: kernel(7, 1, length, out, *places))


@pytest.mark.parametrize("numbers", ["double", "rough"])
@pytest.mark.parametrize("name", [n for n in doubles.PRIMITIVES if n not in ("damped", "where", "unless_nan", "sign")])
def test_primitives_in_float64_are_torchs(name, numbers):
    """To the last bits of float32, and beyond its range to as many digits."""
    source = f"def f(x):\n    return {name}(x)\n"
    kernel = llvm_runner.make("f", source, ("float32",), ("float32",), numbers)
    given = torch.cat([ENDS.float(), torch.linspace(-800, 800, 3001), torch.linspace(-3, 3, 1001)])
    made = torch.empty_like(given)
    kernel(len(given), 1, made.data_ptr(), given.data_ptr())
    expected = torch_runner.load("f", source)(given.double()).float()
    torch.testing.assert_close(made, expected, rtol=1.3e-7, atol=0, equal_nan=True)


@pytest.mark.parametrize(("numbers", "most"), [("double", 0.51), ("rough", 0.8)])
def test_phi_is_right_in_its_tail(numbers, most):
    """Beyond the range of float32, which large factors bring back."""
    op = Elementwise("tail", [x, y], y * Phi(-x))
    kind = kinds(op, "float32")
    kernel = llvm_runner.make(op.name, op.torch_source, kind, ("float32",), numbers)
    distance = torch.linspace(0, 18.5, 1001)
    factor = torch.full_like(distance, 1e38)
    factor[:500] = 1
    made = torch.empty_like(distance)
    kernel(len(made), 1, made.data_ptr(), distance.data_ptr(), factor.data_ptr())
    reference = accuracy.Reference(op.outputs[0], op.inputs, distance, factor)
    assert accuracy.ulp_error(made, *reference.value).max() <= most


POWERS = {28: rough.EXP2[0], 34: rough.EXPM1[0], 40: rough.EXP2[1], 51: llvm_softmax.EXP2[1]}
TAILS = {26.2: rough.PHI_TAIL[0], 37.9: rough.PHI_TAIL[1]}
"""Polynomials, and quotients of two, by how many bits of what they stand for are right."""


@pytest.mark.parametrize(("bits", "coefficients"), POWERS.items())
def test_powers_of_two_have_the_bits_that_are_said(bits, coefficients):
    with mpmath.workdps(30):
        for f in mpmath.linspace(-0.5, 0.5, 201):
            power = 1 + f * mpmath.polyval(coefficients[::-1], f)
            assert abs(power / mpmath.power(2, f) - 1) < mpmath.mpf(2) ** -bits


@pytest.mark.parametrize(("bits", "quotient"), TAILS.items())
def test_tails_have_the_bits_that_are_said(bits, quotient):
    with mpmath.workdps(30):
        for a in mpmath.linspace(0, rough.FARTHEST, 401):
            above, below = (mpmath.polyval(coefficients[::-1], a) for coefficients in quotient)
            assert abs(above / below / (mpmath.ncdf(-a) * mpmath.exp(a**2 / 2)) - 1) < mpmath.mpf(2) ** -bits


class TestRoughNumbers:
    """Those of float64 primitives that are as exact as float32 needs."""

    def numbers_of(self, formula, given):
        """What a kernel in rough numbers makes of some, and in which of its sums it found that digits had gone."""
        op = Elementwise("rough", [x], formula)
        kernel = llvm_runner.make(op.name, op.torch_source, ("float32",), ("float32",), "rough")
        made = torch.empty_like(given)
        kernel(len(given), 1, made.data_ptr(), given.data_ptr())
        return made, llvm_runner.kernel_source(op.name, op.torch_source, ("float32",), ("float32",), "rough")

    @pytest.mark.parametrize("start", [-2.0, -1.0, 0.5, 3.0])
    def test_more_digits_where_terms_cancel(self, start):
        formula = sigma(x) - sp.Rational(float(torch.tensor(start, dtype=torch.float64).sigmoid()))
        given = torch.tensor(start) + torch.arange(-200, 200) * 2.0**-21
        made, text = self.numbers_of(formula, given)
        reference = accuracy.Reference(formula, x, given)
        off = given != start  # where what is left is the rounding of a float64 number
        assert reference.value_errors(lambda _: made)[off].max() <= 0.6
        assert "vector.reduce.or" in text

    @pytest.mark.parametrize("formula", [sigma(x), x * sigma(x), (x + 3) * (x - 1) / 7, x - sp.Rational(1, 3)], ids=str)
    def test_no_look_out_where_nothing_can_cancel(self, formula):
        made, text = self.numbers_of(formula, torch.linspace(-5, 5, 1000))
        assert "vector.reduce.or" not in text
        assert accuracy.Reference(formula, x, torch.linspace(-5, 5, 1000)).value_errors(lambda _: made).max() <= 0.6


def test_functions_without_a_form_in_vectors_run_as_torch_operations():
    wave = CASES["one input"].op
    assert not wave._has_machine_code
    points = torch.linspace(-3, 3, 100)
    torch.testing.assert_close(wave(points), points.sin() * (-points.square()).exp())
    assert set(source.FUNCTIONS) - PRIMITIVES.keys() == {"sin", "cos", "erf", "power"}


def test_logarithm_at_the_ends():
    op = Elementwise("logarithm", [x], sp.log(x))
    given = torch.tensor([torch.nan, -1.0, -0.0, 0.0, 1e-45, 1e-38, 0.5, 1.0, 1.0000001, 3.0, 3.4e38, torch.inf])
    assert op._has_machine_code
    torch.testing.assert_close(op(given), given.double().log().float(), rtol=2**-22, atol=0, equal_nan=True)


def test_gradients_expanded_from_one_number_and_parameters_of_one_element():
    op, points = ACTIVATIONS["swish"].op, torch.randn(50, requires_grad=True)
    beta = torch.tensor([1.25], dtype=torch.float64, requires_grad=True)
    op(points, beta.float()).sum().backward()
    exact = [points.detach().double().requires_grad_(), beta.detach().requires_grad_()]
    expected = torch.autograd.grad((exact[0] * (exact[1] * exact[0]).sigmoid()).sum(), exact)
    torch.testing.assert_close((points.grad.double(), beta.grad), expected, rtol=2e-7, atol=0)


@of_machine_code
class TestInACompiler:
    @pytest.mark.parametrize("name", ["swiglu", "gelu"])
    def test_the_kernel_is_called_and_gives_the_same_bits(self, name):
        activation = ACTIVATIONS[name]
        inputs = [torch.randn(1000, requires_grad=True) for _ in activation.inputs]
        f = lambda *xs: activation.op(*xs, *values(activation))
        graphs = []

        def backend(graph, _):
            graphs.append(graph)
            return graph

        torch.compiler.reset()
        compiled = torch.compile(f, backend=backend, fullgraph=True)
        ours = torch.autograd.grad(compiled(*inputs).sin().sum(), inputs)
        theirs = torch.autograd.grad(f(*inputs).sin().sum(), inputs)
        assert "actlib" in graphs[0].print_readable(print_output=False)
        assert all(itertools.starmap(torch.equal, zip(ours, theirs, strict=True)))

    def test_operations_say_what_they_return(self):
        op = ACTIVATIONS["gelu"].op
        numbers = torch.randn(6, 5)
        for tensor in (numbers, numbers.T, torch.empty(0, 3)):
            torch.library.opcheck(
                llvm_runner.operation(op.name, op.torch_source, 1, (0,), (True,), op.numbers(torch.float32)), (tensor,)
            )
            torch.library.opcheck(
                llvm_runner.operation(
                    "two", "def two(x, a):\n    return x, a*x\n", 1, (0, None), (True, False), "single"
                ),
                (tensor.bfloat16(), 2.0),
            )
            actlib.softmax(tensor, 1)  # which makes the operation known
            torch.library.opcheck(torch.ops.actlib.softmax.default, (False, 1, [tensor]))

    def test_exported_programs_hold_torchs_own_operations_alone(self):
        class Model(torch.nn.Module):
            def forward(self, x):
                return actlib.softmax(actlib.gelu(x), 1)

        given = torch.randn(3, 5)
        program = torch.export.export(Model(), (given,))
        assert not any("actlib" in str(node.target) for node in program.graph.nodes)
        torch.testing.assert_close(program.module()(given), Model()(given))

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
    @pytest.mark.parametrize("transform", ["grad", "vmap", "vmap of grad", "jacrev", "jacfwd"])
    def test_transforms_of_torch_func(self, transform, dtype):
        def ours(t):
            return actlib.gelu(t) * actlib.softmax(t, -1) + actlib.leaky_relu(t, 0.2)

        def theirs(t):
            return functional.gelu(t) * functional.softmax(t, -1) + functional.leaky_relu(t, 0.2)

        torch.compiler.reset()
        given = torch.randn(4, 6, dtype=dtype)
        transformed = [
            {
                "grad": torch.func.grad(lambda t, f=f: f(t).sum()),
                "vmap": torch.vmap(f, in_dims=1),
                "vmap of grad": torch.vmap(torch.func.grad(lambda t, f=f: f(t).sum())),
                "jacrev": torch.func.jacrev(f),
                "jacfwd": torch.func.jacfwd(f),
            }[transform]
            for f in (ours, theirs)
        ]
        compiled = torch.compile(transformed[0], fullgraph=True)
        torch.testing.assert_close(compiled(given), transformed[1](given))

    def test_one_function_in_place_of_another(self):
        """Both are called by the same line of code: what was compiled for the one must not serve the other."""
        chosen = {}

        def call(t):
            return chosen["function"](t)

        torch.compiler.reset()
        f = torch.compile(call, fullgraph=True)
        given = torch.randn(50)
        for name in ("sigmoid", "tanh", "sigmoid", "tanh"):
            chosen["function"] = ACTIVATIONS[name].op
            assert torch.equal(f(given), ACTIVATIONS[name].op(given))

    def test_two_of_one_name(self):
        torch.compiler.reset()
        given = torch.randn(50)
        for factor in (2, 3):
            op = Elementwise("times", [x], factor * x)
            assert torch.equal(torch.compile(op, fullgraph=True)(given), factor * given)

    def test_bad_input_is_named(self):
        with pytest.raises(Exception, match="leaky_relu: negative_slope must be a real number"):
            torch.compile(lambda t: actlib.leaky_relu(t, "steep"), fullgraph=True)(torch.ones(3))
        with pytest.raises(Exception, match="softmax: dim must be from -1 to 0"):
            torch.compile(lambda t: actlib.softmax(t, 2), fullgraph=True)(torch.ones(3))

    def test_a_tensor_without_elements(self):
        f = torch.compile(lambda t: actlib.gelu(t) + actlib.softmax(t, 0), fullgraph=True)
        assert f(torch.empty(0, 3)).shape == (0, 3)


SHARE = llvm_runner.SHARE


@of_machine_code
@pytest.mark.parametrize(("count", "threads"), [(1, 1), (SHARE - 1, 1), (SHARE, 2), (3 * SHARE, 4), (9 * SHARE, 5)])
@pytest.mark.parametrize("step", [1, 2], ids=["straight", "spread"])
def test_a_thread_is_woken_for_a_share_that_is_worth_it(count, threads, step, monkeypatch):
    taken = []

    class Watched(llvm_runner.Kernel):
        def __init__(self, *given, **options):
            super().__init__(*given, **options)
            self.whole = lambda data: self.shared(data, 1)

        def shared(self, data, threads):
            taken.append((int.from_bytes(data[:8], "little"), threads))

    monkeypatch.setattr(llvm_runner, "Kernel", Watched)
    monkeypatch.setattr(llvm_runner, "KERNELS", {})
    op = Elementwise("watched", [x], [x + sp.Rational(1, 3)])
    torch.set_num_threads(5)
    op(torch.zeros(count, step)[:, 0])
    torch.set_num_threads(1)
    assert taken == [(count, threads)]


@pytest.mark.parametrize("count", [1, 63, 64, 65, 320, 1000])
@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_threads_do_everything_once_in_even_shares(count, threads):
    kernel = llvm_runner.make("halved", "def halved(x):\n    return 0.5*x\n", ("float32",), ("float32",))
    given, done = torch.ones(count), torch.zeros(count, dtype=torch.int64)
    for thread in range(threads):
        out = torch.full((count,), 7.0)
        kernel._share(kernel.pack(count, out.data_ptr(), given.data_ptr()), thread, threads)
        assert (out == 0.5).sum() <= math.ceil(math.ceil(count / threads) / 64) * 64
        done += out == 0.5
    assert (done == 1).all()


@of_machine_code
class TestLargeResults:
    """They are written past the caches, and are the same."""

    @pytest.fixture
    def small_is_large(self, monkeypatch):
        """From so many bytes on results are large, in these tests."""
        monkeypatch.setattr(llvm_runner, "KERNELS", {})
        asked = []
        chosen = llvm_runner.Kernel.for_results

        def watched(kernel, *results):
            made = chosen(kernel, *results)
            asked.append(made is not kernel)
            return made

        monkeypatch.setattr(llvm_runner.Kernel, "for_results", watched)

        def choose(size):
            monkeypatch.setattr(llvm_runner, "LARGE", size)
            return asked

        return choose

    @every_elementwise
    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
    def test_value_and_slopes(self, activation, dtype, small_is_large, threads):  # noqa: ARG002
        given = [torch.randn(SHARE + BLOCK).mul(9).to(dtype).requires_grad_() for _ in activation.inputs]
        made = []
        for size in (1 << 60, 0):
            asked = small_is_large(size)
            asked.clear()
            value = activation.function(*given)
            made.append((value, *torch.autograd.grad(value.sum(), given)))
            assert asked == [size == 0] * len(asked)
            assert len(asked) > 0
        for through, past in zip(*made, strict=True):
            assert torch.equal(through, past)

    @pytest.mark.parametrize("length", [10, 16, 64, 96, 100, 160, 1024, 1056, 1000])
    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
    @pytest.mark.parametrize("function", [actlib.softmax, actlib.log_softmax])
    def test_rows(self, function, dtype, length, small_is_large, threads):  # noqa: ARG002
        x = torch.randn(2 * SHARE // length, length).to(dtype).requires_grad_()
        g = torch.randn(2 * SHARE // length, length).to(dtype)
        made = []
        for size in (1 << 60, 0):
            asked = small_is_large(size)
            asked.clear()
            value = function(x, -1)
            made.append((value, *torch.autograd.grad(value, x, g)))
            of_lines = length > 16 and length % BLOCK == 0  # else not every row begins with a line
            assert asked == ([size == 0] * 2 if of_lines else [])
        for through, past in zip(*made, strict=True):
            assert torch.equal(through, past)

    @pytest.mark.parametrize(("count", "shift"), [(SHARE + 1, 0), (SHARE + BLOCK, 1)], ids=["in part", "off a line"])
    def test_what_does_not_fill_whole_lines_goes_through_the_caches(self, count, shift, small_is_large):
        small_is_large(0)
        memory = torch.empty(count + shift)
        kernel = llvm_runner.make("f", "def f(x):\n    return -x\n", ("float32",), ("float32",))
        assert kernel.for_results(memory[shift:]) is kernel

    def test_only_these_writes_change(self):
        text = llvm_runner.kernel_source("f", "def f(x):\n    return sigma(x)\n", ("float32",), ("float32",), "rough")
        past = llvm_runner.past_caches(text)
        assert 2 <= past.count("!nontemporal") < text.count("store ")
        assert past.count("store ") == text.count("store ")
        with pytest.raises(ValueError, match="no block"):
            llvm_runner.past_caches("define void @span() {\n  ret void\n}\n")


@of_machine_code
class TestLongRows:
    """Threads share them, and give what one thread gives."""

    @pytest.fixture
    def shared(self, monkeypatch):
        """Lengths of the rows that were shared."""
        lengths = []
        share = llvm_softmax._share_rows
        monkeypatch.setattr(llvm_softmax, "_share_rows", lambda *given: (lengths.append(given[1]), share(*given)))
        return lengths

    @pytest.mark.parametrize(
        "length", [2 * llvm_softmax.PIECE, 3 * llvm_softmax.PIECE - 5, 3 * llvm_softmax.PIECE + 40]
    )
    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
    @pytest.mark.parametrize("function", [actlib.softmax, actlib.log_softmax])
    def test_bits_do_not_depend_on_threads(self, function, dtype, length, shared):
        x, g = torch.randn(2, 2, length).mul(5).to(dtype)
        x.requires_grad_()
        made = []
        for threads in (1, 2, 3, 4):
            torch.set_num_threads(threads)
            value = function(x, -1)
            made.append((value, *torch.autograd.grad(value, x, g)))
            assert shared == ([length, length] if threads > len(x) else [])
            shared.clear()
        torch.set_num_threads(1)
        for others in made[1:]:
            for one, other in zip(made[0], others, strict=True):
                assert torch.equal(one, other)
        exact = (torch.log_softmax if function is actlib.log_softmax else torch.softmax)(x.double(), -1)
        torch.testing.assert_close(made[0][0].double(), exact, rtol=torch.finfo(dtype).eps, atol=1e-7)
        slope = torch.autograd.grad(exact, x, g.double())[0].double()
        size = slope.abs().amax() * torch.finfo(dtype).eps
        torch.testing.assert_close(
            made[0][1].double(), slope.to(dtype).double(), rtol=torch.finfo(dtype).eps, atol=size
        )

    @pytest.mark.parametrize("at", [0, 70000, -1])
    @pytest.mark.parametrize("value", [math.inf, math.nan, -math.inf])
    def test_of_what_is_no_number(self, at, value, shared):
        x = torch.randn(1, 100_001)
        x[0, at] = value
        torch.set_num_threads(2)
        made = actlib.softmax(x, -1), actlib.log_softmax(x, -1)
        assert shared == [100_001] * 2
        torch.set_num_threads(1)
        for some, alone in zip(made, (actlib.softmax(x, -1), actlib.log_softmax(x, -1)), strict=True):
            assert torch.equal(some.nan_to_num(7), alone.nan_to_num(7))
            assert some.isnan().any() == (not value < math.inf and value != math.inf)

    def test_longest_ones_are_shared_in_any_case(self, shared):
        x = torch.randn(3, llvm_softmax.LONGEST + 1)
        made = actlib.softmax(x, -1)
        assert shared == [llvm_softmax.LONGEST + 1]
        torch.testing.assert_close(made, torch.softmax(x, -1))

    def test_a_row_in_which_digits_are_lost_is_computed_once_more(self, shared):
        """One of the gradients is their mean, but for a rounding, and the mean is far smaller than the others."""
        length, number = 70_000, 1
        generator = torch.Generator().manual_seed(0)
        x, g = (torch.randn(length, generator=generator) for _ in range(2))
        weights = torch.softmax(x.double(), 0)
        g -= (weights @ g.double()).float()
        for _ in range(5):
            g[number] = weights @ g.double()
        with mpmath.workprec(120):
            e = [mpmath.exp(v) for v in x.tolist()]
            total = mpmath.fsum(e)
            mean = mpmath.fdot(e, g.tolist()) / total
            assert abs(g[number].item() - mean) < 1e-12
            expected = e[number] / total * (g[number].item() - mean)
        torch.set_num_threads(2)
        y = actlib.softmax(x.requires_grad_(), 0)
        (slope,) = torch.autograd.grad(y, x, g)
        torch.set_num_threads(1)
        assert shared == [length] * 2
        assert abs(slope[number].item() / float(expected) - 1) < 2**-23


class TestKeptOnDisk:
    """Machine code of this process or of another."""

    @pytest.fixture(autouse=True)
    def folder(self, tmp_path, monkeypatch):
        monkeypatch.setenv("ACTLIB_CACHE", str(tmp_path / "kept"))
        monkeypatch.setattr(llvm_runner, "_compiled", self.counted(llvm_runner._compiled))
        self.compiled = 0
        return tmp_path / "kept"

    def counted(self, function):
        def count(*arguments):
            self.compiled += 1
            return function(*arguments)

        return count

    def result(self, **more):
        """What a new kernel makes of some numbers."""
        given, made = torch.linspace(-5, 5, 100), torch.empty(100)
        of = "f", "def f(x):\n    return sigma(x)\n", ("float32",), ("float32",), "rough"
        kernel = llvm_runner.Kernel(lambda: llvm_runner.kernel_source(*of), "QQ", 64, **more)
        kernel(100, 1, made.data_ptr(), given.data_ptr())
        return made

    def test_it_is_compiled_once(self, folder):
        first = self.result()
        (file,) = folder.iterdir()
        assert torch.equal(self.result(), first)
        assert (self.compiled, list(folder.iterdir())) == (1, [file])

    @pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data[:10], lambda _: b"", bytes.swapcase])
    def test_a_damaged_file_is_made_anew(self, folder, damage):
        first = self.result()
        (file,) = folder.iterdir()
        whole = file.read_bytes()
        file.write_bytes(damage(whole))
        assert torch.equal(self.result(), first)
        assert (self.compiled, file.read_bytes()) == (2, whole)

    def test_processors_have_their_own(self, folder):
        self.result()
        for cpu, features in PROCESSORS.items() if sys.platform == "linux" and llvm_runner._X86 else ():
            if features.split(",")[0].removeprefix("+") in llvm_runner._FEATURES:
                self.result(cpu=cpu, features=features)
        assert len(list(folder.iterdir())) == self.compiled

    def test_none_is_kept_without_a_folder(self, tmp_path, monkeypatch):
        monkeypatch.setenv("ACTLIB_CACHE", "")
        assert torch.equal(self.result(), self.result())
        assert (self.compiled, list(tmp_path.iterdir())) == (2, [])

    def test_a_folder_that_cannot_be_made_is_no_error(self, tmp_path, monkeypatch):
        (tmp_path / "file").write_bytes(b"")
        monkeypatch.setenv("ACTLIB_CACHE", str(tmp_path / "file" / "kept"))
        assert torch.equal(self.result(), self.result())
        assert self.compiled == 2

    def test_what_is_not_used_for_long_goes_first(self, folder, monkeypatch):
        monkeypatch.setattr(machine_code, "MOST", 50_000)
        folder.mkdir()
        for age in range(6):
            file = folder / f"{age}.o"
            file.write_bytes(bytes(10_000))
            os.utime(file, (1e9 - age, 1e9 - age))
        machine_code._swept.cache_clear()
        self.result()
        kept = {file.stem for file in folder.iterdir()}
        assert {"0"} < kept
        assert not kept & {"2", "3", "4", "5"}

    def test_another_process_runs_it_in_a_team(self):
        """Whose functions lie elsewhere in memory."""
        script = f"""
import hashlib, torch, actlib
from actlib.backends import llvm_runner
make, made = llvm_runner._compiled, []
llvm_runner._compiled = lambda *given: made.append(1) or make(*given)
torch.set_num_threads(2)
y = actlib.mish(torch.linspace(-9, 9, {5 * llvm_runner.SHARE}))
print(len(made) > 0, hashlib.sha256(y.numpy().tobytes()).hexdigest())
"""
        call = [sys.executable, "-c", script]
        runs = [subprocess.run(call, capture_output=True, encoding="utf-8", check=True).stdout for _ in range(2)]
        first, second = (run.split() for run in runs)
        assert [first[0], second[0]] == ["True", "False"]
        assert first[1] == second[1]
