"""What a feed-forward layer costs: gated and plain ones in turns, at equal width and at equal parameters.

A layer takes n numbers a token to a hidden width and back, without biases, on the CPU, in float32, with memory reused.
Plain layers have a hidden width of 4n. A gated layer has three matrices in place of two: "swiglu" has two thirds of the
width, 8n/3, and so as many parameters; "swiglu wide" has 4n. "actlib swiglu" is "swiglu" with our fused function in
place of `silu(gate) * value`, and "relu again" is "relu": what these two differ by is noise.

A file of results has the form that `formulas.py` describes; "elements" is n.
"""

import concurrent.futures
import multiprocessing
import pathlib
from collections.abc import Callable

import torch
import tqdm
from torch import nn

import actlib
from actlib.book.costs import AGAIN, OURS, FormulaCosts
from actlib.book.measurements import file_of
from benchmarks import formulas, pages, report
from benchmarks.peers import VALUE, Calls

WIDTHS = (96, 384, 768)
TOKENS = 256


class Layer(nn.Module):
    """A feed-forward layer.

    Args:
        width: Numbers a token, n.
        hidden: Hidden units.
        heart: What is done to a hidden unit; of gate and value, if `gated`.
        gated: Whether there are two maps to the hidden units.
    """

    def __init__(self, width: int, hidden: int, heart: Callable, gated: bool = False):
        super().__init__()
        self.maps = nn.ModuleList(nn.Linear(width, hidden, bias=False) for _ in range(1 + gated))
        self.out = nn.Linear(hidden, width, bias=False)
        self.heart = heart

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The layer's output."""
        return self.out(self.heart(*(linear(x) for linear in self.maps)))


def composed(gate: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """SwiGLU from PyTorch's functions."""
    return nn.functional.silu(gate) * value


def contenders(width: int) -> dict[str, Layer]:
    """The layers of this width, by name."""
    return {
        "relu": Layer(width, 4 * width, torch.relu),
        AGAIN: Layer(width, 4 * width, torch.relu),
        "gelu": Layer(width, 4 * width, nn.functional.gelu),
        "swiglu": Layer(width, 8 * width // 3, composed, gated=True),
        "swiglu wide": Layer(width, 4 * width, composed, gated=True),
        OURS + "swiglu": Layer(width, 8 * width // 3, actlib.swiglu, gated=True),
    }


def run(widths: tuple[int, ...], rounds: int, patience: float, threads: int, folder: pathlib.Path) -> None:
    """Measures, keeps the results and prints what was found."""
    mode = pages.available()[0]
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        rows = process.submit(measured, mode, widths, rounds, patience, threads).result()
    torch.set_num_threads(threads)
    results = report.about(formulas.CPU) | {"rounds": rounds, "rows": rows}
    file = file_of(folder, results["device"])
    report.keep(results, file)
    formulas.show_ratios(FormulaCosts(**results), mode)
    print(f"Medians of {rounds} rounds on {results['device']}. Kept in {file}")


def measured(mode: str, widths: tuple[int, ...], rounds: int, patience: float, threads: int) -> list[dict]:
    """The rows; for a process of its own."""
    pages.choose(mode, 1 << 28)
    torch.set_num_threads(threads)
    rows = []
    with tqdm.tqdm(total=len(widths) * len(formulas.TASKS) * rounds, unit="round") as progress:
        for width in widths:
            torch.manual_seed(0)
            x, g = torch.randn(2, TOKENS, width)
            for task in formulas.TASKS:
                tasks = {name: calls_of(layer, task, x, g) for name, layer in contenders(width).items()}
                rows += formulas.rows_of(tasks, mode, width, task, rounds, patience, progress.update)
    return rows


def calls_of(layer: Layer, task: str, x: torch.Tensor, g: torch.Tensor) -> Calls:
    """The call that a task consists of: the output, or also the gradients of the input and of all parameters."""
    if task == VALUE:
        return [torch.no_grad()(lambda: layer(x))]
    x = x.clone().requires_grad_()
    leaves = [x, *layer.parameters()]
    return [lambda: torch.autograd.grad(layer(x), leaves, g)]
