"""What the page on deployment says: programs for export, models in ONNX, several processes, quantisation's observers.

One model of all functions is exported once, since that takes longer than to run it. What torch.jit.trace and torch.fx
make of each function is in test_handed_over.py.
"""

import importlib.util
import json
import pathlib
import subprocess
import sys
import warnings

import pytest
import torch
from conftest import need
from formulas import every_activation
from test_handed_over import call, close, derivatives, numbers, recorded
from torch import nn

import actlib
from actlib import ACTIVATIONS

TESTS = pathlib.Path(__file__).parent
TORCH = tuple(map(int, torch.__version__.split(".")[:2]))


class Several(nn.Module):
    """Functions of a tensor and another one; all of the registry, if none are named."""

    def __init__(self, *names):
        super().__init__()
        self.activations = [ACTIVATIONS[name] for name in names or ACTIVATIONS]

    def forward(self, x, y):
        return tuple(call(a)(*(x, y)[: len(numbers(a))]) for a in self.activations)


def given(dtype=torch.float32, rows=4):
    """Kinks and tails, in two tensors."""
    return [t.to(dtype)[:rows] for t in numbers(ACTIVATIONS["swiglu"], dtype)]


def place(activation):
    return [*ACTIVATIONS].index(activation.name)


N = torch.export.Dim("n", min=2, max=1000)


def exported(model, dtype=torch.float32):
    example = tuple(torch.randn(5, 6).to(dtype) for _ in range(2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what torch tells itself
        return torch.export.export(model, example, dynamic_shapes=({0: N}, {0: N}))


@pytest.fixture(scope="module", params=[torch.float32, torch.float64], ids=str)
def program(request):
    """A type, and an exported program of all functions as a module."""
    program = exported(Several(), request.param)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return request.param, program.module()


@every_activation
def test_an_exported_program_has_value_and_gradient_at_kinks_and_in_tails(activation, program):
    dtype, module = program
    inputs = given(dtype)
    count = len(numbers(activation))
    ours = derivatives(lambda *ts: module(*ts, *inputs[count:])[place(activation)], inputs[:count])
    theirs = derivatives(call(activation), inputs[:count])
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, **close(dtype))


@pytest.mark.skipif(TORCH < (2, 8), reason="torch 2.7 cannot save a program with an infinite number")
def test_an_exported_program_runs_where_actlib_is_not(tmp_path):
    model = Several("gelu", "softplus", "log_softmax", "clamped_swiglu")
    torch.export.save(exported(model), tmp_path / "model.pt2")
    torch.save(given(rows=3), tmp_path / "given.pt")
    elsewhere = """
import sys, torch
sys.modules["actlib"] = None
module = torch.export.load("model.pt2").module()
torch.save(module(*torch.load("given.pt")), "made.pt")
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", elsewhere], cwd=tmp_path, check=True)
    for ours, theirs in zip(torch.load(tmp_path / "made.pt"), model(*given(rows=3)), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_program_compiled_ahead_of_time(tmp_path):
    model = Several("sigmoid", "gelu", "elu", "mish", "log_softmax", "clamped_swiglu")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what torch tells itself
        package = torch._inductor.aoti_compile_and_package(exported(model), package_path=str(tmp_path / "all.pt2"))
        compiled = torch._inductor.aoti_load_package(package)
    for rows in (4, 2):
        for ours, theirs in zip(compiled(*given(rows=rows)), model(*given(rows=rows)), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=2e-6, atol=1e-7)


of_today = pytest.mark.skipif(TORCH < (2, 8), reason="torch 2.7 does not tell that it exports to ONNX")
EXPORTERS = [pytest.param(True, id="of today", marks=of_today), pytest.param(False, id="of before")]


def in_onnx(model, file, dtype, dynamo=True):
    """A session of onnxruntime for a model of two inputs, which one of torch's two exporters has written."""
    for package in ("onnx", "onnxruntime", "onnxscript"):
        need(importlib.util.find_spec(package), f"{package} is missing; python -m pip install {package}")
    import onnxruntime

    example = tuple(torch.randn(5, 6).to(dtype) for _ in range(2))
    rows = {"dynamic_shapes": ({0: N}, {0: N})} if dynamo else {"dynamic_axes": {"x": {0: "n"}, "y": {0: "n"}}}
    options = {"input_names": ["x", "y"], "dynamo": dynamo, **rows, **({"verbose": False} if dynamo else {})}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, example, file, **options)
    return onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])


def run(session, dtype, rows):
    return session.run(None, dict(zip("xy", (t.numpy() for t in given(dtype, rows)), strict=True)))


def assert_digits_are_kept(ours, theirs):
    """In tails, too: sigma(-20) is no 0. Only what is subnormal may be one."""
    info = torch.finfo(theirs.dtype)
    torch.testing.assert_close(torch.from_numpy(ours), theirs.detach(), rtol=8 * info.eps, atol=info.tiny)


@pytest.fixture(scope="module", params=EXPORTERS)
def results(request, tmp_path_factory):
    """Of all functions, for two numbers of rows."""
    file = tmp_path_factory.mktemp("onnx") / "all.onnx"
    session = in_onnx(Several(), file, torch.float32, request.param)
    return {rows: run(session, torch.float32, rows) for rows in (4, 3)}


@every_activation
def test_onnx(results, activation):
    for rows, made in results.items():
        expected = call(activation)(*given(rows=rows)[: len(numbers(activation))])
        assert_digits_are_kept(made[place(activation)], expected)


@of_today
def test_onnx_in_half_precision(tmp_path):
    model = Several("silu", "softplus", "swiglu")
    session = in_onnx(model, tmp_path / "half.onnx", torch.float16)
    for ours, theirs in zip(run(session, torch.float16, 3), model(*given(torch.float16, 3)), strict=True):
        assert_digits_are_kept(ours, theirs)


@of_today
def test_layers_in_onnx(tmp_path):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            gated = actlib.SwiGLU(6, 4, layout="interleaved")
            self.layers = nn.Sequential(actlib.PReLU(6), gated, actlib.Swish(learnable=True))

        def forward(self, x, y):
            return self.layers(x + y)

    model = Model()
    (ours,) = run(in_onnx(model, tmp_path / "layers.onnx", torch.float32), torch.float32, 3)
    torch.testing.assert_close(torch.from_numpy(ours), model(*given(rows=3)).detach(), rtol=1e-5, atol=1e-5)


def test_two_processes():
    need(torch.distributed.is_available() and torch.distributed.is_gloo_available(), "this torch has no gloo")
    command = ["-W", "ignore", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    ended = subprocess.run(
        [sys.executable, *command, TESTS / "two_processes.py"], capture_output=True, encoding="utf-8", check=False
    )
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout.splitlines()[-1])
    assert len(found) > len(ACTIVATIONS)
    assert not {name: gap for name, gap in found.items() if not isinstance(gap, float) or not gap < 1e-5}


quantisation = pytest.mark.filterwarnings("ignore:.*(quantiz|deprecat|reduce_range|torch.ao)")


@every_activation
@quantisation
def test_observers_see_what_comes_out(activation):
    quantization = pytest.importorskip("torch.ao.quantization")
    from torch.ao.quantization.quantize_fx import prepare_fx

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.before = nn.ModuleList(nn.Linear(6, 6) for _ in numbers(activation))
            self.after = nn.Linear(6, 6)

        def forward(self, x):
            return self.after(call(activation)(*(linear(x) for linear in self.before)))

    model, x = Model().eval(), torch.randn(8, 6)
    observer = quantization.MinMaxObserver
    config = quantization.QConfig(activation=observer, weight=observer.with_args(dtype=torch.qint8))
    prepared = prepare_fx(model, quantization.QConfigMapping().set_global(config), (x,))
    torch.testing.assert_close(prepared(x), model(x))
    results = call(activation)(*(linear(x) for linear in model.before))
    seen = [(m.min_val, m.max_val) for m in prepared.modules() if isinstance(m, observer)]
    assert any(torch.allclose(a, results.min()) and torch.allclose(b, results.max()) for a, b in seen)


@quantisation
def test_quantised_layers_around():
    quantization = pytest.importorskip("torch.ao.quantization")
    need(torch.backends.quantized.engine != "none", "this torch has no engine for quantised layers")
    model, x = nn.Sequential(nn.Linear(6, 8), actlib.GELU(), nn.Linear(8, 6)).eval(), torch.randn(50, 6)
    smaller = quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)
    torch.testing.assert_close(smaller(x), model(x), rtol=0, atol=0.1)
    with pytest.raises(TypeError, match=r"^gelu: x must be a tensor of .* but one of quint8 came"):
        actlib.gelu(torch.quantize_per_tensor(x, 0.1, 0, torch.quint8))


def test_a_recorded_model_is_right_elsewhere():
    model = nn.Sequential(nn.Linear(6, 8), actlib.SwiGLU(8, 4))
    traced = recorded(model, torch.randn(2, 6))
    x = torch.randn(5, 6)
    torch.testing.assert_close(traced(x), model(x))
