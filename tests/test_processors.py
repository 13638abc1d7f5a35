"""What chapters show is the same on other processors; all of it is tried by `make test-processors`, a part here."""

import subprocess
import sys

import last_bits
import numpy as np
import processors
import pytest
import torch

CHEAP = ["07_softmax", "11_from_formula_to_kernel", "differences"]


def on(name, program, folder):
    """What a program prints on a processor of the table."""
    if why := processors.missing(processors.PROCESSORS[name]):
        pytest.skip(why)
    environment = processors.PROCESSORS[name].environment(folder)
    program = f"import processors; processors.become(); {program}"
    run = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, encoding="utf-8", check=True
    )
    return run.stdout.split()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("baseline", ["DEFAULT", "x86-64-v2", "False", "1"]),
        ("AVX2, four threads", ["AVX2", "x86-64-v3", "True", "4"]),
    ],
)
def test_processors_are_what_they_are_called(name, expected, tmp_path):
    program = (
        "import torch; from actlib.backends import llvm_runner as r; "
        "print(torch.backends.cpu.get_cpu_capability(), r.llvm.get_host_cpu_name(), "
        "r._FEATURES['fma'], torch.get_num_threads())"
    )
    assert on(name, program, tmp_path) == expected


@pytest.mark.parametrize("name", list(processors.PROCESSORS))
def test_notebooks_run_on_the_processor_too(name, tmp_path):
    """The file that their kernels read when they start makes them so."""
    processors.PROCESSORS[name].environment(tmp_path)
    (startup,) = (tmp_path / "profile_default" / "startup").iterdir()
    compile(startup.read_text(encoding="utf-8"), startup.name, "exec")
    program = f"exec(open({str(startup)!r}).read()); import torch; print(len(str(torch.exp(torch.ones(1)))) > 0)"
    assert on(name, program, tmp_path) == ["True"]


def test_other_last_bits_change_what_is_rounded_and_nothing_else(tmp_path):
    program = """
import torch
x = torch.arange(1, 2001) / 1000
exact = x.double().exp().float()
y = x.exp()
ulps = (y.view(torch.int32) - exact.view(torch.int32)).abs()
print(ulps.max().item(), 500 < ulps.sum().item() < 1500)
print(torch.tanh(torch.tensor([0.0, 20.0, torch.inf, torch.nan])).tolist())
g = torch.randn(30, 30, dtype=torch.float64)
print((g @ g - (g[:, :, None] * g).sum(1)).abs().max().item() > 0, torch.equal(x.relu(), x))
"""
    found = on("other last bits", f"exec({program!r})", tmp_path)
    assert found == ["1", "True", "[0.0,", "1.0,", "1.0,", "nan]", "True", "True"]


def test_where_nothing_is_rounded_once_results_come_from_float64(tmp_path):
    """Next to the zero of a slope, sums of products rounded twice lose what half precision still sees."""
    program = """
import torch, actlib
from actlib import accuracy
assert not actlib.backends.llvm_runner.DTYPES
gelu = actlib.ACTIVATIONS["gelu"]
for x in (torch.tensor([-0.751953125], dtype=torch.float16), torch.linspace(-13, -0.7, 200)):
    errors = accuracy.Reference(gelu.formula, gelu.inputs, x).slope_errors(actlib.gelu)
    print(errors.max() < 0.55)
"""
    assert on("baseline", f"import actlib.backends.llvm_runner; exec({program!r})", tmp_path) == ["True", "True"]


def test_shaken_numbers_are_neighbours():
    numbers = np.concatenate([np.random.default_rng(0).normal(size=1000), [0.5, -2.0, np.inf, np.nan, 0.0]])
    shaken = last_bits.shaken(numbers, 1)
    steps = np.abs(shaken[:1000].view(np.int64) - numbers[:1000].view(np.int64))
    assert set(steps) == {0, 1}
    assert 400 < steps.sum() < 600
    np.testing.assert_array_equal(shaken[1000:], numbers[1000:])


@pytest.mark.parametrize(
    ("name", "chapter"),
    [("baseline", chapter) for chapter in CHEAP] + [("other last bits", "11_from_formula_to_kernel")],
)
def test_chapter_is_the_same_on(name, chapter):
    if why := processors.missing(processors.PROCESSORS[name]):
        pytest.skip(why)
    code, output = processors.run(name, [f"book/{chapter}.ipynb"], workers="0", quiet=True)
    assert code == 0, output


def test_a_chapter_that_differs_is_noticed(tmp_path):
    import nbformat

    notebook = nbformat.v4.new_notebook()
    source = "import torch\n(torch.arange(1, 300) / 100).exp().double().sum().item()"
    output = nbformat.v4.new_output("execute_result", {"text/plain": repr(_sum_of_exponentials())}, execution_count=1)
    notebook.cells = [nbformat.v4.new_code_cell(source, outputs=[output], execution_count=1)]
    file = tmp_path / "raw.ipynb"
    nbformat.write(notebook, file)
    code, output = processors.run("other last bits", [str(file)], workers="0", quiet=True)
    assert code == 1, output


def _sum_of_exponentials():
    return (torch.arange(1, 300) / 100).exp().double().sum().item()
