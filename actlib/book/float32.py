"""The largest errors in float32, on every finite number, as `actlib.accuracy --exhaustive --store` keeps them.

A function takes a minute or two, so the chapters read them from here. What was kept of code that has changed since says
so by its `digest`.
"""

import datetime
import hashlib
import json
import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from actlib.accuracy import Reference, Worst, ulp_error, value_and_slopes
from actlib.activations.activation import Activation
from actlib.book.measurements import RESULTS, machine
from actlib.elementwise import Elementwise, llvm_runner

FILE = RESULTS / "float32.json"


@dataclass(frozen=True)
class Exhausted:
    """The largest errors of a function, ours and PyTorch's.

    Attributes:
        errors: By "actlib" and "torch": the largest error of the value, to four digits, and of the slope in each input.
        numbers: In what machine code computes value and slopes, as `llvm_runner.kernel_source` says.
        digest: What `digest` gave.
        machine: What it was measured on; that matters for PyTorch's.
        date: When, as YYYY-MM-DD.
    """

    errors: dict[str, list[Worst]]
    numbers: list[str]
    digest: str
    machine: str
    date: str


def stored(file: pathlib.Path = FILE) -> dict[str, Exhausted]:
    """What is kept, by name of the function."""
    return {name: _read(row) for name, row in _rows(file).items()}


def _read(row: Mapping) -> Exhausted:
    errors = {who: [Worst(error, tuple(at)) for error, at in found] for who, found in row["errors"].items()}
    return Exhausted(**row | {"errors": errors})


def _rows(file: pathlib.Path) -> dict:
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def store(activation: Activation, errors: Mapping[str, Sequence[Worst]], file: pathlib.Path = FILE) -> None:
    """Keeps what `accuracy.exhaustive_errors` found of a function, in place of what was kept before.

    Args:
        activation: The function.
        errors: By "actlib" and, if PyTorch has the function, "torch".
        file: Where it is kept, with that of other functions.
    """
    row = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": machine(),
        "numbers": [op.numbers(torch.float32) for op in _computed(activation)],
        "digest": digest(activation),
        "errors": {who: [[float(f"{w.error:.4g}"), w.at] for w in found] for who, found in errors.items()},
    }
    rows = _rows(file) | {activation.name: row}
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(row)}" for name, row in sorted(rows.items()))
    file.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8", newline="\n")


def again(activation: Activation, kept: Sequence[Worst]) -> list[float]:
    """Our errors where the largest were found, computed here and now; where none was, 0."""
    places = [worst.at for worst in kept if worst.at]
    if not places:
        return [0.0] * len(kept)
    points = [torch.tensor(p) for p in zip(*places, strict=True)]
    reference = Reference(activation.default_formula, activation.inputs, *points)
    computed = value_and_slopes(activation.entry, *points)
    errors = [ulp_error(c, *t) for c, t in zip(computed, [reference.value, *reference.slopes], strict=True)]
    return [float(e[places.index(w.at)]) if w.at else 0.0 for e, w in zip(errors, kept, strict=True)]


def digest(activation: Activation) -> str:
    """Tells apart whatever computes value and slopes in float32: a digest of the kernels in LLVM's language."""
    texts = [
        llvm_runner().kernel_source(
            op.name,
            op.torch_source,
            ("float32",) * len(op.inputs) + (llvm_runner().NUMBER,) * len(op.parameters),
            ("float32",) * len(op.outputs),
            op.numbers(torch.float32),
        )
        for op in _computed(activation)
    ]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def _computed(activation: Activation) -> tuple[Elementwise, Elementwise]:
    """What computes the value, and what computes the slopes."""
    op = activation.op
    return op, op.vjp(tuple(range(len(op.inputs))))
