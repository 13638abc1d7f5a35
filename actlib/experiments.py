"""The seeded, small experiments that test what is said of activation functions.

Everything runs in float64 on the CPU: a rounding difference between two machines stays far below the digits that are
shown, so the chapters can state their results and have them compared.
"""

import itertools
import math
import statistics
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

HOLDS, IN_PART, FAILS = "holds", "holds in part", "does not hold"


def verdict(findings: Sequence[bool]) -> str:
    """What measured findings, each for or against a claim, make of it: it holds, holds in part, or does not hold."""
    return HOLDS if all(findings) else IN_PART if any(findings) else FAILS


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Mean and standard deviation over the seeds, as a reader wants them: 0.234 ± 0.001."""
    return f"{statistics.mean(values):.{digits}f} ± {statistics.stdev(values):.{digits}f}"


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
    from sklearn.datasets import load_digits

    data = load_digits()
    images, labels = torch.tensor(data.data, dtype=torch.float64) / 16, torch.tensor(data.target)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    first, rest = order[:train], order[train:]
    return images[first], labels[first], images[rest], labels[rest]


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


class _Function(nn.Module):
    def __init__(self, function: Callable):
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)
