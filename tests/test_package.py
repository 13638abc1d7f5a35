"""The package as a whole: what importing it brings in, and what it offers."""

import subprocess
import sys

import actlib


def modules_after(statement):
    """Names of the modules that a fresh interpreter has loaded after a statement."""
    code = f"{statement}; import sys; print(' '.join(sys.modules))"
    return set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True).stdout.split()
    )


def test_formula_needs_no_torch():
    # The package's own __init__ offers torch functions; a browser loads the folder below it on its own.
    alone = (
        "import sys, types, pathlib; import importlib.util as u; "
        "root = pathlib.Path(u.find_spec('actlib').origin).parent; "
        "sys.modules.update(dict.fromkeys(('torch', 'numpy', 'matplotlib', 'triton'))); "
        "package = types.ModuleType('actlib'); package.__path__ = [str(root)]; sys.modules['actlib'] = package; "
        "import actlib.formula.primitives, actlib.formula.analysis, actlib.formula.source; "
        "[sys.modules.pop(m) for m in ('torch', 'numpy', 'matplotlib', 'triton')]"
    )
    loaded = modules_after(alone)
    assert "actlib.formula.source" in loaded
    assert not {m for m in loaded if m.split(".")[0] in ("torch", "triton", "numpy", "matplotlib")}


def test_import_is_light():
    """What makes importing slow, compilers and plotting, is left until it is used."""
    extra = modules_after("import actlib") - modules_after("import torch")
    assert "actlib.elementwise" in extra
    heavy = ("triton", "matplotlib", "sklearn", "torch._dynamo", "torch._inductor", "torch._functorch.aot_autograd")
    assert not {m for m in extra if m.startswith(heavy)}


def test_public_names_exist_and_are_documented():
    for name in actlib.__all__:
        assert getattr(actlib, name).__doc__


def test_every_function_and_layer_of_the_registry_is_public():
    for name, activation in actlib.ACTIVATIONS.items():
        assert getattr(actlib, name) is activation.function
        assert getattr(actlib, activation.layer.__name__) is activation.layer
