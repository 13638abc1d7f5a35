"""Where a package that actlib can do without is missing, too old or broken, it is said once, and the rest works."""

import re
import subprocess
import sys
import tomllib
import types
import warnings

import pytest
import torch
import triton
from conftest import ROOT
from formulas import x
from triton.backends.compiler import GPUTarget

from actlib import elementwise, optional
from actlib.formula.primitives import sigma

BROKEN = {  # what the package is, what the module of actlib's that uses it is, and what is said of it
    "missing": (None, "", "gadget is not installed"),
    "without one of its own": ("import cog", "", "import of gadget failed .ModuleNotFoundError: No module named 'cog'"),
    "of another build": ("raise ImportError('undefined symbol')", "", "failed .ImportError: undefined symbol"),
    "without a library": ("raise OSError('libLLVM.so: cannot open')", "", "failed .OSError: libLLVM.so: cannot open"),
    "without a version": ("", "", "failed .AttributeError: .*__version__"),
    "too old": ("__version__ = '2.9.1+git'", "", r"gadget 2\.9\.1\+git came"),
    "changed": ("__version__ = '4.0'", "from gadget import turn", "gadget 4.0 does not work .* cannot import name"),
    "not for this machine": (
        "__version__ = '2.10'",
        "def check(): raise RuntimeError('no target')",
        r"gadget 2\.10 does not work on this machine .RuntimeError: no target",
    ),
}
SERVES = ("__version__ = '2.10.0rc1'", "def check(): pass")


@pytest.fixture
def put(tmp_path, monkeypatch):
    """Puts a package and its user where Python finds them, as source texts; returns what actlib knows of it."""

    def put(package, user):
        for name, text in (("gadget", package), ("user_of_gadget", user)):
            if text is not None:
                (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
        return optional.Optional("gadget", "gadget", "2.10", "walks")

    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(optional, "_SAID", set())
    optional._load.cache_clear()
    yield put
    optional._load.cache_clear()
    for name in ("gadget", "user_of_gadget"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(("package", "user", "trouble"), BROKEN.values(), ids=BROKEN)
class TestBroken:
    def test_is_said_once(self, put, package, user, trouble):
        gadget = put(package, user)
        words = rf"^actlib walks, since .*{trouble}.*gadget 2\.10 or newer is expected: .*install \"gadget>=2\.10\""
        with pytest.warns(UserWarning, match=words) as caught:
            assert gadget.load("user_of_gadget") is None
        assert len(caught) == 1
        assert gadget.load("user_of_gadget") is None  # silently: a warning is an error here

    def test_goes_on_where_warnings_are_errors(self, put, package, user, trouble):  # noqa: ARG002
        gadget = put(package, user)
        with pytest.raises(UserWarning, match="actlib walks"):
            gadget.load("user_of_gadget")
        assert gadget.load("user_of_gadget") is None

    def test_is_an_error_to_what_cannot_do_without(self, put, package, user, trouble):
        gadget = put(package, user)
        for _ in range(2):
            with pytest.raises(ImportError, match=f"to run cannot do without gadget, but .*{trouble}.*expected"):
                gadget.require("user_of_gadget", "to run")


def test_what_serves_is_loaded_in_silence(put):
    gadget = put(*SERVES)
    module = gadget.load("user_of_gadget")
    assert module is sys.modules["user_of_gadget"]
    assert gadget.require("user_of_gadget", "to run") is module


def test_versions_are_those_that_are_asked_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["check"]]
    for package in (optional.LLVMLITE, optional.FLINT, optional.TRITON):
        (bound,) = (re.match(rf"{package.name}>=([\d.]+)", text) for text in asked if text.startswith(package.name))
        assert bound[1] == package.minimum


def after(trouble, program):
    """Runs a program in a Python of its own, after something was done to a package; returns what it printed."""
    command = [sys.executable, "-W", "always", "-c", f"import sys, types\n{trouble}\nimport torch, actlib\n{program}"]
    run = subprocess.run(command, capture_output=True, encoding="utf-8", check=False, timeout=300)
    assert run.returncode == 0, run.stderr
    return run.stdout + run.stderr


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        ("sys.modules['llvmlite'] = None", "llvmlite is not installed"),
        ("sys.modules['llvmlite'] = types.SimpleNamespace(__version__='0.44.0')", "llvmlite 0.44.0 came"),
        (
            "import llvmlite.binding as llvm\n"
            "def fail(*_): raise RuntimeError('no target')\n"
            "llvm.Target.from_default_triple = fail",
            "does not work on this machine (RuntimeError: no target)",
        ),
    ],
    ids=["missing", "too old", "without a target"],
)
def test_the_cpu_without_llvmlite(trouble, said):
    program = """
x = torch.linspace(-3, 3, 50, requires_grad=True)
(actlib.gelu(x).sum() + actlib.softmax(x, 0).square().sum()).backward()
assert not actlib.ACTIVATIONS["gelu"].op._has_machine_code
z = torch.nn.functional.gelu(x).sum() + torch.softmax(x, 0).square().sum()
assert torch.allclose(x.grad, torch.autograd.grad(z, x)[0], atol=1e-6)
f = torch.compile(lambda t: actlib.gelu(t) + actlib.softmax(t, 0), backend="eager", fullgraph=True)
assert torch.allclose(f(x), actlib.gelu(x) + actlib.softmax(x, 0))
"""
    output = after(trouble, program)
    assert said in output
    assert output.count("actlib computes on the CPU by torch operations") == 1


def test_other_devices_do_not_ask_for_llvmlite():
    program = "actlib.gelu(torch.empty(3, device='meta')), actlib.softmax(torch.empty(3, device='meta'), 0)"
    assert "actlib computes" not in after("sys.modules['llvmlite'] = None", program)


def test_accuracy_without_flint():
    program = """
import numpy as np
from actlib import accuracy
assert accuracy.ulp_error(torch.ones(1), np.ones(1)) == 0
assert accuracy.slope(actlib.sigmoid, accuracy.every_finite(torch.float16)).isfinite().all()
try:
    accuracy.Reference(actlib.ACTIVATIONS["sigmoid"].formula, actlib.ACTIVATIONS["sigmoid"].inputs, torch.ones(1)).value
except ImportError as error:
    print(error)
"""
    assert "actlib.accuracy.exact cannot do without python-flint" in after("sys.modules['flint'] = None", program)


@pytest.fixture
def asked_again():
    """Asks anew whether Triton serves."""
    caches = (optional._load, elementwise._has_triton)
    for cache in caches:
        cache.cache_clear()
    optional._SAID.discard(optional.TRITON)
    yield
    for cache in caches:
        cache.cache_clear()


class Driver:
    """Triton's, of a GPU that need not be there."""

    def __init__(self, target):
        self.active = types.SimpleNamespace(get_current_target=target)


def missing():
    raise RuntimeError("Failed to find C compiler")


@pytest.mark.usefixtures("asked_again")
class TestTriton:
    @pytest.mark.parametrize(
        ("target", "said"),
        [
            (missing, r"triton [\d.]+ does not work on this machine .RuntimeError: Failed to find C compiler"),
            (lambda: GPUTarget("cuda", 61, 32), "need compute capability 7.0, but the GPU has 6.1"),
        ],
        ids=["no compiler", "an old GPU"],
    )
    def test_does_not_serve(self, target, said, monkeypatch):
        monkeypatch.setattr(triton.runtime, "driver", Driver(target))
        with pytest.warns(UserWarning, match=f"actlib computes on GPUs by torch operations.*{said}"):
            assert not elementwise._has_triton()
        assert not elementwise._has_triton()

    @pytest.mark.parametrize("target", [GPUTarget("cuda", 70, 32), GPUTarget("hip", "gfx942", 64)], ids=str)
    def test_serves(self, target, monkeypatch):
        monkeypatch.setattr(triton.runtime, "driver", Driver(lambda: target))
        assert elementwise._has_triton()

    def test_is_not_asked_for_on_a_cpu(self, monkeypatch):
        monkeypatch.setattr(triton.runtime, "driver", Driver(missing))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            elementwise.Elementwise("asked", [x], sigma(x))(torch.ones(3))

    def test_missing(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "triton", None)
        with pytest.warns(UserWarning, match="actlib computes on GPUs by torch operations.*triton is not installed"):
            assert not elementwise._has_triton()
