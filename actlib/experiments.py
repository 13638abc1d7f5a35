"""The seeded, small experiments that test what is said of activation functions.

Everything runs in float64 on the CPU: a rounding difference between two machines stays far below the digits that are
shown, so the chapters can state their results and have them compared.
"""

import collections
import functools
import itertools
import json
import math
import pathlib
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

HOLDS, IN_PART, FAILS = VERDICTS = ("holds", "holds in part", "does not hold")


def verdict(findings: Sequence[bool]) -> str:
    """What measured findings, each for or against a claim, make of it: it holds, holds in part, or does not hold."""
    return HOLDS if all(findings) else IN_PART if any(findings) else FAILS


@dataclass(frozen=True)
class Trial:
    """A claim that a chapter has tested, as its table of verdicts has it.

    Attributes:
        chapter: Name of the chapter's file, without its ending.
        title: Its heading.
        claim: What is said.
        measured: What was found.
        verdict: "holds", "holds in part" or "does not hold".
    """

    chapter: str
    title: str
    claim: str
    measured: str
    verdict: str


def stored_verdicts(book: pathlib.Path | str = ".") -> list[Trial]:
    """All claims that the chapters have tested, read from the tables of verdicts that stand in them.

    Args:
        book: The folder of the chapters.

    Raises:
        LookupError: A chapter on a function has no such table.
    """
    trials = []
    for file in sorted(pathlib.Path(book).glob("0[0-9]_*.ipynb")):
        cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
        title = next("".join(c["source"]) for c in cells if c["cell_type"] == "markdown").splitlines()[0]
        shown = ["".join(o.get("data", {}).get("text/plain", [])) for c in cells for o in c.get("outputs", [])]
        tables = [[line.split(" | ") for line in text.splitlines()[1:]] for text in shown]
        rows = [row for table in tables if all(row[-1] in VERDICTS for row in table) for row in table]
        if not rows:
            raise LookupError(f"{file} has no table of verdicts")
        trials += [Trial(file.stem, title.removeprefix("# "), row[0], row[-2], row[-1]) for row in rows]
    return trials


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Mean and standard deviation over the seeds, as a reader wants them: 0.234 ± 0.001."""
    return f"{statistics.mean(values):.{digits}f} ± {statistics.stdev(values):.{digits}f}"


def clearly_above(larger: Sequence[float], smaller: Sequence[float]) -> bool:
    """Whether the one is above the other, seed by seed, by more than chance explains.

    A paired t-test, one-sided, at the level of 2.5%. Where it is False, noise could turn the order.

    Args:
        larger: One measurement a seed.
        smaller: The other measurement, with the same seeds.
    """
    from scipy.stats import ttest_rel

    differences = [a - b for a, b in zip(larger, smaller, strict=True)]
    if max(differences) - min(differences) < 1e-12:  # no spread: no test is needed, and none is possible
        return differences[0] > 0
    return bool(ttest_rel(larger, smaller, alternative="greater").pvalue < 0.025)


def stack(
    activation: Callable, depth: int, width: int, *, gain: float = 1.0, generator: torch.Generator
) -> nn.Sequential:
    """A stack of equal layers, z = W h followed by the activation, with weights of variance gain^2 / width."""
    layers = []
    for _ in range(depth):
        linear = nn.Linear(width, width, bias=False, dtype=torch.float64)
        with torch.no_grad():
            linear.weight.normal_(0, gain / math.sqrt(width), generator=generator)
        layers += [linear, _Function(activation)]
    return nn.Sequential(*layers)


def gradient_norms(
    activation: Callable, depth: int = 20, width: int = 128, *, gain: float = 1.0, seed: int = 0, batch: int = 64
) -> list[float]:
    """How large the gradient arrives at each layer of a freshly initialised stack, from the first to the last.

    Inputs and the gradient at the output are standard normal. The norm is that of the gradient of z = W h, over the
    whole batch.

    Args:
        activation: An elementwise torch function.
        depth: Number of layers.
        width: Units in each.
        gain: The weights have variance gain^2 / width; 1 is Glorot's initialisation.
        seed: Of weights, inputs and gradient.
        batch: Number of inputs.

    Returns:
        One norm a layer.
    """
    generator = torch.Generator().manual_seed(seed)
    layers = stack(activation, depth, width, gain=gain, generator=generator)
    h = torch.randn(batch, width, dtype=torch.float64, generator=generator)
    upstream = torch.randn(batch, width, dtype=torch.float64, generator=generator)
    zs = []
    for linear, function in zip(layers[::2], layers[1::2], strict=True):
        zs.append(linear(h))
        h = function(zs[-1])
    return [g.norm().item() for g in torch.autograd.grad(h, zs, upstream)]


def factor_per_layer(norms: Sequence[float]) -> float:
    """By how much a layer changes the gradient on its way back: the geometric mean over the layers."""
    return (norms[0] / norms[-1]) ** (1 / (len(norms) - 1))


@dataclass(frozen=True)
class LayerStatistics:
    """What the activations of one hidden layer are like over a batch.

    Attributes:
        mean: Their mean, over units and inputs.
        deviation: Their standard deviation, over units and inputs.
        zeros: Share of them that is exactly 0.
        dead: Share of the units whose slope is 0 at every input, so that no gradient passes them.
    """

    mean: float
    deviation: float
    zeros: float
    dead: float


def layer_statistics(model: nn.Sequential, inputs: Tensor) -> list[LayerStatistics]:
    """Statistics of every hidden layer of a `stack` or a `network`, from the first to the last.

    Args:
        model: The layers.
        inputs: A batch, one row an input.
    """
    found = []
    h = inputs
    for layer in model:
        if not isinstance(layer, _Function):
            h = layer(h).detach()
            continue
        z = h.requires_grad_()
        outputs = layer(z)
        (slopes,) = torch.autograd.grad(outputs.sum(), z)
        h = outputs.detach()
        dead = (slopes == 0).all(0)
        found.append(
            LayerStatistics(
                h.mean().item(), h.std().item(), (h == 0).double().mean().item(), dead.double().mean().item()
            )
        )
    return found


def kept_for_backward(function: Callable, x: Tensor) -> list[Tensor]:
    """The tensors that autograd keeps from forward until backward."""
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        function(x.detach().clone().requires_grad_())
    return kept


def calibration_error(probabilities: Tensor, outcomes: Tensor, bins: int = 10) -> float:
    """Expected calibration error: |mean forecast - share of ones|, averaged over bins of equal width.

    Source: Naeini et al. (2015); Guo et al. (2017).

    Args:
        probabilities: Forecasts in [0, 1], one dimension.
        outcomes: What came, 0 or 1, as many.
        bins: Number of bins.
    """
    place = (probabilities * bins).long().clamp(0, bins - 1)
    count = torch.bincount(place, minlength=bins)
    gap = torch.bincount(place, probabilities - outcomes, minlength=bins)
    return (gap.abs().sum() / count.sum()).item()


def two_gaussians(count: int, seed: int, distance: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    """Points of two classes, each a standard normal cloud in the plane, and the exact probability of class 1.

    Args:
        count: Number of points.
        seed: Of the points.
        distance: Of each centre from the origin, to the right (class 1) or to the left (class 0).

    Returns:
        Points (count, 2), classes (count,), and P(class 1 | point), which by Bayes is sigma(2 distance x_1).
    """
    generator = torch.Generator().manual_seed(seed)
    classes = torch.rand(count, dtype=torch.float64, generator=generator).round()
    points = torch.randn(count, 2, dtype=torch.float64, generator=generator)
    points[:, 0] += distance * (2 * classes - 1)
    return points, classes, 1 / (1 + torch.exp(-2 * distance * points[:, 0]))


def digits(seed: int, train: int = 600) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """scikit-learn's 1,797 handwritten digits of 8 x 8 pixels, split at random; it needs no download.

    Args:
        seed: Of the split.
        train: How many are for training.

    Returns:
        Training images with pixels in [0, 1], training labels, test images, test labels.
    """
    images, labels = _all_digits()
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    first, rest = order[:train], order[train:]
    return images[first], labels[first], images[rest], labels[rest]


@functools.cache
def _all_digits() -> tuple[Tensor, Tensor]:
    from sklearn.datasets import load_digits

    data = load_digits()
    return torch.tensor(data.data, dtype=torch.float64) / 16, torch.tensor(data.target)


def network(sizes: Sequence[int], activation: Callable, seed: int, gain: float = 1.0) -> nn.Sequential:
    """A fully connected network: linear layers of the given sizes with the activation between, none after the last."""
    generator = torch.Generator().manual_seed(seed)
    layers: list[nn.Module] = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        linear = nn.Linear(fan_in, fan_out, dtype=torch.float64)
        with torch.no_grad():
            linear.weight.normal_(0, gain / math.sqrt(fan_in), generator=generator)
            linear.bias.zero_()
        layers += [linear, _Function(activation)]
    return nn.Sequential(*layers[:-1])


def train(
    model: nn.Module,
    loss: Callable[[], Tensor],
    steps: int,
    *,
    rate: float = 0.1,
    momentum: float = 0.9,
    watch: Callable[[int], None] | None = None,
) -> float:
    """Gradient descent with momentum on the whole of the data.

    Args:
        model: What is trained.
        loss: The loss of the model as it stands.
        steps: Number of steps.
        rate: Learning rate.
        momentum: Of the gradient.
        watch: Called with the number of steps done, before each step and after the last.

    Returns:
        The loss after the last step.
    """
    optimiser = torch.optim.SGD(model.parameters(), lr=rate, momentum=momentum)
    for step in range(steps):
        if watch:
            watch(step)
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()
    if watch:
        watch(steps)
    return loss().item()


@dataclass(frozen=True)
class Run:
    """A training on the digits.

    Attributes:
        model: The trained network.
        losses: Cross-entropy on the training images, at the start and after every so many steps.
        accuracies: Share of new images that are recognised, at the same moments.
        images: The training images.
        every: After how many steps each.
    """

    model: nn.Sequential
    losses: list[float] = field(repr=False)
    accuracies: list[float] = field(repr=False)
    images: Tensor = field(repr=False)
    every: int = 1

    @property
    def loss(self) -> float:
        """The loss at the end."""
        return self.losses[-1]

    @property
    def accuracy(self) -> float:
        """The accuracy at the end."""
        return self.accuracies[-1]

    def steps_to(self, accuracy: float) -> float:
        """After how many steps the accuracy is first seen to be reached; infinity if never."""
        return next((self.every * i for i, a in enumerate(self.accuracies) if a >= accuracy), math.inf)


def train_on_digits(
    activation: Callable,
    seed: int,
    *,
    hidden: Sequence[int] = (64, 64),
    gain: float = 1.0,
    steps: int = 200,
    rate: float = 0.1,
    momentum: float = 0.9,
    train_images: int = 600,
    every: int = 1,
) -> Run:
    """Trains a network to tell the handwritten digits apart, on all training images at each step.

    Args:
        activation: An elementwise torch function.
        seed: Of the weights and of the split of the data.
        hidden: Width of each hidden layer.
        gain: The weights have variance gain^2 / fan_in; sqrt 2 is He's initialisation for ReLU.
        steps: Number of steps.
        rate: Learning rate.
        momentum: Of the gradient.
        train_images: How many images are for training.
        every: After how many steps loss and accuracy are taken down; it must divide their number.
    """
    if steps % every:
        raise ValueError(f"every must divide the number of steps, but {every} came for {steps} steps")
    images, labels, new_images, new_labels = digits(seed, train_images)
    model = network([images.shape[1], *hidden, 10], activation, seed, gain)
    losses, accuracies = [], []

    def loss() -> Tensor:
        return nn.functional.cross_entropy(model(images), labels)

    def watch(step: int) -> None:
        if step % every:
            return
        with torch.no_grad():
            losses.append(loss().item())
            accuracies.append((model(new_images).argmax(1) == new_labels).double().mean().item())

    train(model, loss, steps, rate=rate, momentum=momentum, watch=watch)
    return Run(model, losses, accuracies, images, every)


@dataclass(frozen=True)
class Cost:
    """How long a function takes, as the benchmark has measured it and kept.

    Attributes:
        device: What it was measured on.
        elements: The sizes, ascending; or the lengths of rows, where it is these that vary.
        times: For each contender ("actlib", "torch", "torch relu" ...) the median time at each size, as a multiple of
            the time that copying as many numbers takes; NaN where it was not measured.
        shares: Likewise, the share of the copy's bandwidth: the least that must be moved through memory, over the time.
        seconds: Likewise, the time of a call; for GPUs alone.
    """

    device: str
    elements: list[int]
    times: dict[str, list[float]]
    shares: dict[str, list[float]] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def ratio(self, contender: str, to: str) -> list[float]:
        """How many times as long as another the contender takes, at each size."""
        return [a / b for a, b in zip(self.times[contender], self.times[to], strict=True)]


ROW = 1024
"""Length of the rows of softmax in the benchmark, where it is the number of elements that varies."""


@dataclass(frozen=True)
class Results:
    """What the benchmark has kept of a device; `benchmarks/report.py` says what stands in the lists.

    Attributes:
        device: What it was measured on.
        gpu: Whether that is a GPU.
        date: When, as YYYY-MM-DD.
        versions: By name, of all that took part.
        missing: Peers that took no part, and why.
        rows: The times.
        memory: Bytes kept for backward, and peak bytes.
        bars: What the library sets itself to reach, beside what was measured.
    """

    device: str
    gpu: bool
    date: str
    versions: dict[str, str]
    missing: list[dict]
    rows: list[dict] = field(repr=False)
    memory: list[dict] = field(repr=False)
    bars: list[dict] = field(repr=False)

    @property
    def functions(self) -> list[str]:
        """The functions that were measured."""
        return list(dict.fromkeys(row["function"] for row in self.rows))

    def cost(self, function: str, dtype: str = "float32", task: str = "value") -> Cost:
        """The times of a function over the number of elements; empty where there are none.

        Args:
            function: Its name in the registry.
            dtype: "float32" or "bfloat16".
            task: "value", "gradient" or "value and gradient".
        """
        rows = [r for r in self._rows(function, dtype, task) if r.get("row") in (None, min(ROW, r["elements"]))]
        return self._cost("elements", rows)

    def cost_by_row(self, function: str, dtype: str = "float32", task: str = "value") -> Cost:
        """The times of a function of rows over their length, at the number of elements that has most lengths."""
        rows = [r for r in self._rows(function, dtype, task) if "row" in r]
        counts = collections.Counter(r["elements"] for r in rows)
        most = max(counts, key=lambda n: (counts[n], n), default=0)
        return self._cost("row", [r for r in rows if r["elements"] == most])

    def _rows(self, function: str, dtype: str, task: str) -> list[dict]:
        wanted = {"function": function, "dtype": dtype, "task": task}
        return [row for row in self.rows if wanted.items() <= row.items()]

    def _cost(self, by: str, rows: list[dict]) -> Cost:
        rows = sorted(rows, key=lambda row: row[by])
        names = list(dict.fromkeys(name for row in rows for name in row["ratio to copy"]))
        missing = [math.nan] * 3

        def medians(name: str, kind: str) -> list[float]:
            return [row.get(kind, {}).get(name, missing)[1] for row in rows]

        times = {name: medians(name, "ratio to copy") for name in names}
        least = [row.get("bytes to copy", math.nan) for row in rows]
        shares = {
            n: [b / t for b, t in zip(least, ts, strict=True)] for n, ts in times.items() if n not in _OTHER_BYTES
        }
        seconds = {name: medians(name, "seconds") for name in names} if self.gpu else {}
        return Cost(self.device, [row[by] for row in rows], times, shares, seconds)


_OTHER_BYTES = ("copy", "torch relu")  # these do not compute the function, and move less


def stored_results(results: pathlib.Path | str) -> list[Results]:
    """What the benchmark has kept, device by device: those on CPUs first, in the order of the files' names.

    Args:
        results: The folder of the benchmark's results, one file a device.
    """
    found = []
    for file in sorted(pathlib.Path(results).glob("*.json")):
        report = json.loads(file.read_text(encoding="utf-8"))
        gpu = any("seconds" in row for row in report["rows"])
        lists = {name: report.get(name, []) for name in ("missing", "rows", "memory", "bars")}
        found.append(Results(report["device"], gpu, report.get("date", ""), report.get("versions", {}), **lists))
    return sorted(found, key=lambda r: r.gpu)


def stored_cost(results: pathlib.Path | str, function: str, dtype: str = "float32", task: str = "value") -> Cost:
    """What the benchmark has kept of a function. Timings differ from run to run, so no chapter measures them itself.

    Args:
        results: The folder of the benchmark's results, one file a device; the first file on a CPU that has the function
            counts.
        function: Its name in the registry.
        dtype: "float32" or "bfloat16".
        task: "value", "gradient" or "value and gradient".

    Raises:
        LookupError: No file on a CPU has such a row.
    """
    for kept in stored_results(results):
        if not kept.gpu and (cost := kept.cost(function, dtype, task)).elements:
            return cost
    wanted = {"function": function, "dtype": dtype, "task": task}
    raise LookupError(f"no result in {results} has {wanted}: run python -m benchmarks {function}")


class _Function(nn.Module):
    def __init__(self, function: Callable):
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)
