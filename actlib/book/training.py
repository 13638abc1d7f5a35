"""The seeded, small experiments that test what is said of activation functions.

Everything runs in float64 on the CPU: a rounding difference between two machines stays far below the digits that are
shown, so the chapters can state their results and have them compared.
"""

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn


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


class _Function(nn.Module):
    def __init__(self, function: Callable):
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)
