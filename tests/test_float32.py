"""What is kept of float32, of all numbers: it is of this code, within its bars, and comes out again."""

import math

import pytest
import torch
from formulas import ELEMENTWISE, every_elementwise, of_machine_code

from actlib import ACTIVATIONS, accuracy
from actlib.accuracy import Worst
from actlib.book import float32

KEPT = float32.stored()
every_kept = pytest.mark.parametrize("name", KEPT)

# The nearest number is within 0.5 ulp, which nothing beats; so much more may be ours where PyTorch's is less.
AS_GOOD = 0.51


def four_digits(error):
    return float(f"{error:.4g}")


def test_every_elementwise_function_is_kept():
    assert list(KEPT) == sorted(a.name for a in ELEMENTWISE)


@every_kept
def test_what_is_kept_is_of_this_code(name):
    again = f"python -m actlib.accuracy {name} --exhaustive --store"
    assert KEPT[name].digest == float32.digest(ACTIVATIONS[name]), f"its kernels are other ones since: {again}"


@every_kept
def test_within_an_ulp_and_as_exact_as_torch(name):
    activation, errors = ACTIVATIONS[name], KEPT[name].errors
    assert list(errors) == ["actlib", "torch"][: 2 if activation.torch else 1]
    assert all(len(found) == 1 + len(activation.inputs) for found in errors.values())
    assert all(worst.error <= accuracy.SINGLE_BAR for worst in errors["actlib"])
    for ours, theirs in zip(*errors.values(), strict=True) if activation.torch else ():
        assert ours.error <= max(theirs.error, AS_GOOD)


@of_machine_code
@every_kept
def test_errors_come_out_again(name):
    activation, kept = ACTIVATIONS[name], KEPT[name].errors["actlib"]
    assert [four_digits(e) for e in float32.again(activation, kept)] == [worst.error for worst in kept]
    judged = activation.default_formula, activation.inputs
    inputs = accuracy.with_partners(accuracy.random_finite(torch.float32, 1 << 21, seed=7), len(judged[1]))
    value, slope = accuracy.single_errors_at(*judged, activation.entry, inputs)
    if len(inputs) == 1:
        assert four_digits(value) <= kept[0].error
        assert four_digits(slope) <= kept[1].error
    assert max(value, slope) <= accuracy.SINGLE_BAR  # of several inputs all numbers were tried, but not all pairs


def test_what_is_kept_is_read_again(tmp_path):
    file = tmp_path / "float32.json"
    assert float32.stored(file) == {}
    found = {"actlib": [Worst(0.500649, (-1.5,)), Worst()], "torch": [Worst(math.inf, (3e38,)), Worst(2, (0.0,))]}
    for name in ("tanh", "sigmoid", "tanh"):
        float32.store(ACTIVATIONS[name], found, file)
    kept = float32.stored(file)
    assert list(kept) == ["sigmoid", "tanh"]
    assert kept["tanh"].errors == found | {"actlib": [Worst(0.5006, (-1.5,)), Worst()]}
    assert kept["tanh"].digest == float32.digest(ACTIVATIONS["tanh"]) != kept["sigmoid"].digest
    assert kept["tanh"].numbers == [op.numbers(torch.float32) for op in [ACTIVATIONS["tanh"].op] * 2]
    assert "torch" in kept["tanh"].machine


@of_machine_code
@every_elementwise
def test_digest_is_of_what_is_called(activation, monkeypatch):
    """The kernels that it names are those that value and slopes run."""
    ran = []
    runner = float32.llvm_runner()
    kernel_source = runner.kernel_source

    def noted(*arguments):
        ran.append(kernel_source(*arguments))
        return ran[-1]

    monkeypatch.setattr(runner, "kernel_source", noted)
    float32.digest(activation)
    expected, ran[:] = set(ran), []
    runner.KERNELS.clear()
    for op in float32._computed(activation):
        op._machine_code.clear()
        op.launches.clear()
    accuracy.value_and_slopes(activation.entry, *[torch.ones(9)] * len(activation.inputs))
    assert set(ran) == expected


def test_command_keeps_what_it_finds(tmp_path, monkeypatch, capsys):
    file, every_finite = tmp_path / "float32.json", accuracy.every_finite
    numbers = accuracy.random_finite(torch.float32, 1000)
    monkeypatch.setattr(accuracy, "every_finite", lambda dtype: every_finite(dtype)[::997])
    monkeypatch.setattr(accuracy, "every_float32", lambda count: [numbers])  # noqa: ARG005
    store = float32.store
    monkeypatch.setattr(float32, "store", lambda *arguments: store(*arguments, file))
    few = {name: ACTIVATIONS[name] for name in ("swiglu", "softmax", "relu_squared")}
    monkeypatch.setattr("actlib.activations.ACTIVATIONS", few)
    accuracy.main(["--exhaustive", "--store"])
    lines = capsys.readouterr().out.splitlines()[3:]
    assert [line.split()[0] for line in lines] == ["actlib.swiglu", "torch", "actlib.relu_squared"]
    kept = float32.stored(file)
    assert list(kept) == ["relu_squared", "swiglu"]  # softmax takes rows
    assert [w.error for w in kept["relu_squared"].errors["actlib"]] == pytest.approx([0.5, 0], abs=0.02)
    assert list(kept["relu_squared"].errors) == ["actlib"]
    assert [len(w) for w in kept["swiglu"].errors.values()] == [3, 3]
    assert lines[0].split()[-1] == f"{max(w.error for w in kept['swiglu'].errors['actlib'][1:]):.4g}"
