"""The seeded, small experiments that test what is said of activation functions.

Everything is computed in float64 on the CPU, and weights are rounded to 20 bits after each step of training. So a
rounding difference between two machines stays far below the digits that are shown, and no training lets it grow: the
chapters can state their results and have them compared.
"""

import copy
import functools
import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from actlib.accuracy import slope


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


def mean_square(function: Callable, variance: float = 1.0) -> float:
    """E f(z)^2 for a normal z of mean 0 and this variance, to about six digits; a kink at 0 does no harm."""
    points = torch.from_numpy(np.linspace(-12, 12, 4800))  # an even number: none lies at 0
    density = torch.exp(-(points**2) / 2) / math.sqrt(2 * math.pi)
    return torch.trapezoid(function(points * math.sqrt(variance)) ** 2 * density, points).item()


def predicted_factor(function: Callable, gain: float, depth: int = 20) -> float:
    """By how much a layer of an infinitely wide stack changes the gradient's norm, in the geometric mean.

    Inputs have variance 1. From layer to layer, the variance q becomes gain^2 E f(z)^2, with z of variance q, and the
    mean square of the gradient changes by gain^2 E f'(z)^2. Source: Schoenholz et al. (2017).
    """
    variance, log_factor = gain**2, 0.0
    for _ in range(depth - 1):
        log_factor += math.log(gain**2 * mean_square(lambda z: slope(function, z), variance)) / 2
        variance = gain**2 * mean_square(function, variance)
    return math.exp(log_factor / (depth - 1))


def balanced_gain(function: Callable, depth: int = 20) -> float:
    """The gain at which `predicted_factor` is 1, by bisection between 1/2 and 50."""
    low, high = 0.5, 50.0
    for _ in range(30):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if predicted_factor(function, middle, depth) < 1 else (low, middle)
    return high


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


TEST_DIGITS = 797


def digits_to_train(seeds: Sequence[int], count: int = 600) -> tuple[Tensor, Tensor]:
    """Training images drawn anew for each seed, none of which is among the fixed `test_digits`.

    Args:
        seeds: One draw each.
        count: How many images of the 1,000 that are not for testing.

    Returns:
        Images (seeds, count, 64) with pixels in [0, 1], and labels (seeds, count).
    """
    images, labels = _all_digits()
    rest = _shuffled()[TEST_DIGITS:]
    if not 0 < count <= len(rest):
        raise ValueError(f"expected 1 to {len(rest):,} training images, but {count:,} came")
    draws = [rest[torch.randperm(len(rest), generator=torch.Generator().manual_seed(seed))[:count]] for seed in seeds]
    return images[torch.stack(draws)], labels[torch.stack(draws)]


def test_digits() -> tuple[Tensor, Tensor]:
    """The 797 images, and their labels, that are kept for testing, the same for all seeds.

    Seeds that share their test images say how much chance there is in weights and training images; were the test
    images drawn anew from the same 1,797, seeds would not be independent (Nadeau and Bengio 2003).
    """
    images, labels = _all_digits()
    kept = _shuffled()[:TEST_DIGITS]
    return images[kept], labels[kept]


def _shuffled() -> Tensor:
    return torch.randperm(len(_all_digits()[0]), generator=torch.Generator().manual_seed(1797))


@functools.cache
def _all_digits() -> tuple[Tensor, Tensor]:
    from sklearn.datasets import load_digits

    data = load_digits()
    return torch.tensor(data.data, dtype=torch.float64) / 16, torch.tensor(data.target)


def network(
    sizes: Sequence[int],
    activation: Callable,
    seed: int,
    gain: float | None = 1.0,
    *,
    residual: bool = False,
    gated: bool = False,
) -> nn.Sequential:
    """A fully connected network: linear layers of the given sizes with the activation between, none after the last.

    Args:
        sizes: Of the inputs, the hidden layers and the outputs.
        activation: An elementwise torch function.
        seed: Of the weights.
        gain: Weights are normal with variance gain^2 / fan_in, and biases 0; None for what PyTorch gives by default:
            weights and biases uniform, with variance 1 / (3 fan_in).
        residual: Whether a hidden layer between layers of its own size computes h + f(W norm(h) + b), with layer
            normalisation, and the output layer sees norm(h).
        gated: Whether the activation makes one number of two, a gate and a value: a layer before it computes twice as
            many, the gates first.
    """
    generator = torch.Generator().manual_seed(seed)
    layers: list[nn.Module] = []
    pairs = list(itertools.pairwise(sizes))
    for number, (fan_in, fan_out) in enumerate(pairs):
        last = number == len(pairs) - 1
        linear = nn.Linear(fan_in, 2 * fan_out if gated and not last else fan_out, dtype=torch.float64)
        with torch.no_grad():
            if gain is None:
                nn.init.kaiming_uniform_(linear.weight, a=math.sqrt(5), generator=generator)
                linear.bias.uniform_(-1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in), generator=generator)
            else:
                linear.weight.normal_(0, gain / math.sqrt(fan_in), generator=generator)
                linear.bias.zero_()
        round_weights(linear.parameters())
        if residual and number:
            layers.append(nn.Sequential(_Normalised(), linear) if last else _Residual(linear, activation))
        else:
            layers += [linear] if last else [linear, _Function(activation)]
    return nn.Sequential(*layers)


def round_weights(weights: Iterable[Tensor]) -> None:
    """Rounds weights, in place, to 20 significant bits; whatever is computed from them keeps the 53 of float64.

    Two processors differ in the last bits of a gradient, and in a deep network each step of training makes such a
    difference larger: after a few hundred steps it can be seen. Rounded after every step it is gone before it grows,
    unless it lies just where rounding up and rounding down meet, which is as rare as the 33 bits between are many.
    What a network learns does not change: over a few hundred steps, rounding moves a weight by less than 0.1%.

    Args:
        weights: Of type float64. Source of the rounding: Dekker (1971), after Veltkamp.
    """
    with torch.no_grad():
        for weight in weights:
            large = weight * (2**33 + 1)
            torch.sub(large, large - weight, out=weight)


def train(
    model: nn.Module,
    loss: Callable[[], Tensor],
    steps: int,
    *,
    rate: float = 0.1,
    momentum: float = 0.9,
    watch: Callable[[int], None] | None = None,
) -> float:
    """Gradient descent with momentum on the whole of the data, with `round_weights` after each step.

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
        round_weights(model.parameters())
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
class Runs:
    """Models that were trained side by side; the first dimension of everything counts them.

    Attributes:
        steps: After how many steps it was looked, the start and the end among them.
        losses: Loss on the training data at these moments, (models, moments).
        scores: What `score` gave at these moments, (models, moments); empty without.
        parameters: Of all models, by name.
    """

    steps: list[int]
    losses: Tensor = field(repr=False)
    scores: Tensor = field(repr=False)
    parameters: Mapping[str, Tensor] = field(repr=False)
    _like: nn.Module = field(repr=False)

    def model(self, index: int) -> nn.Module:
        """One of the trained models."""
        model = copy.deepcopy(self._like)
        model.load_state_dict({name: p[index] for name, p in self.parameters.items()})
        return model

    def log_losses(self) -> np.ndarray:
        """Powers of ten of the losses, by model and look; a run that has overflowed counts as ten."""
        return np.log10(self.losses.nan_to_num(10, 10).clamp(1e-12, 10).numpy())

    def steps_to(self, score: float) -> list[float]:
        """For each model, after how many steps the score is first seen to be reached; infinity if never."""
        return [
            next((float(step) for step, s in zip(self.steps, row, strict=True) if s >= score), math.inf)
            for row in self.scores.tolist()
        ]

    def steps_to_loss(self, loss: float) -> list[float]:
        """For each model, after how many steps its training loss first falls to this; infinity if never.

        Between two looks the logarithm of the loss is taken for a straight line, so that short trainings can be
        compared more finely than in whole steps.
        """
        return [self._crossing(row, loss) for row in self.losses.tolist()]

    def _crossing(self, losses: Sequence[float], level: float) -> float:
        place = next((i for i, value in enumerate(losses) if value <= level), None)
        if place is None or place == 0:
            return math.inf if place is None else float(self.steps[0])
        before, after = (math.log(max(value, 1e-300) / level) for value in losses[place - 1 : place + 1])
        start, end = self.steps[place - 1 : place + 1]
        if not math.isfinite(before):
            return float(end)
        return start + (end - start) * before / (before - after)


def train_side_by_side(
    models: Sequence[nn.Module],
    data: tuple[Tensor, Tensor],
    loss: Callable[[Tensor, Tensor], Tensor],
    steps: int,
    *,
    rate: float | Sequence[float] = 0.1,
    optimiser: str = "momentum",
    momentum: float = 0.9,
    ramp: bool = False,
    batch: int | None = None,
    seeds: Sequence[int] | None = None,
    score: Callable[[Tensor, Tensor], Tensor] | None = None,
    test: tuple[Tensor, Tensor] | None = None,
    every: int | None = None,
) -> Runs:
    """Trains many models of the same shape at once, each as a plain loop would train it alone.

    The models become one whose parameters have a dimension more (`torch.func.stack_module_state`), and `vmap` runs it
    on all of them. So many seeds, rates or gains cost little more than one. Each step ends with `round_weights`.

    Args:
        models: They differ in their parameters alone.
        data: Inputs and targets, with a first dimension that counts the models.
        loss: From outputs and targets of one model to a number.
        steps: Number of steps.
        rate: The learning rate, one for all or one a model.
        optimiser: "momentum", gradient descent with momentum as `torch.optim.SGD` has it; or "adam", as
            `torch.optim.Adam` with its defaults.
        momentum: Of the gradient.
        ramp: Whether the learning rate rises to `rate` over the first tenth of the steps and falls to 0 over the rest,
            on straight lines.
        batch: Size of the random batch that each step sees; all of the data, if none is given.
        seeds: Of the batches, one a model.
        score: From outputs and targets of one model to a number, or to several.
        test: Inputs and targets to score on, the same for all models; those that it is trained on, if none are given.
        every: After how many steps loss and score are taken down, besides the start and the end.

    Raises:
        ValueError: An argument does not fit; the message says which.
    """
    count = len(models)
    if any(len(part) != count for part in data):
        raise ValueError(f"expected data for {count} models, but for {[len(part) for part in data]} came")
    if optimiser not in ("momentum", "adam"):
        raise ValueError(f"the optimiser is momentum or adam, but {optimiser!r} came")
    if batch is not None and (seeds is None or len(seeds) != count):
        raise ValueError(f"expected one seed a model for the batches, {count} in all, but {seeds} came")
    rates = torch.as_tensor(rate, dtype=torch.float64).expand(count)
    parameters, buffers = torch.func.stack_module_state(list(models))
    parameters = {name: p.detach() for name, p in parameters.items()}
    like = copy.deepcopy(models[0])
    call = lambda p, b, x: torch.func.functional_call(like, (p, b), (x,))
    loss_of = lambda p, b, x, y: loss(call(p, b, x), y)
    losses_of = torch.func.vmap(loss_of)
    along = (None, None) if test else (0, 0)
    score_of = torch.func.vmap(lambda p, b, x, y: score(call(p, b, x), y), in_dims=(0, 0, *along))
    draws = [torch.Generator().manual_seed(seed) for seed in seeds] if batch else []
    shaped = {name: rates.view(-1, *[1] * (p.dim() - 1)) for name, p in parameters.items()}
    first = {name: torch.zeros_like(p) for name, p in parameters.items()}
    second = {name: torch.zeros_like(p) for name, p in parameters.items()}
    moments, losses, scores = [], [], []

    def look(step: int) -> None:
        moments.append(step)
        with torch.no_grad():
            losses.append(losses_of(parameters, buffers, *data))
            if score:
                scores.append(score_of(parameters, buffers, *(test or data)))

    for step in range(steps):
        if step == 0 or (every and step % every == 0):
            look(step)
        seen = data
        if batch:
            rows = torch.stack([torch.randperm(data[0].shape[1], generator=g)[:batch] for g in draws])
            seen = tuple(part[torch.arange(count)[:, None], rows] for part in data)
        variables = {name: p.detach().requires_grad_() for name, p in parameters.items()}
        summed = losses_of(variables, buffers, *seen).sum()  # each parameter is one model's: its gradient is, too
        gradients = torch.autograd.grad(summed, list(variables.values()), materialize_grads=True)
        share = min(10 * (step + 1), (steps - step) / 0.9) / steps if ramp else 1.0
        for name, gradient in zip(parameters, gradients, strict=True):
            if optimiser == "momentum":
                move = first[name].mul_(momentum).add_(gradient)
            else:
                first[name].mul_(0.9).add_(0.1 * gradient)
                second[name].mul_(0.999).add_(0.001 * gradient**2)
                size = (second[name] / (1 - 0.999 ** (step + 1))).sqrt() + 1e-8
                move = first[name] / (1 - 0.9 ** (step + 1)) / size
            parameters[name].sub_(share * shaped[name] * move)
        round_weights(parameters.values())
    look(steps)
    stacked = torch.stack(scores, 1) if scores else torch.empty(count, 0)
    return Runs(moments, torch.stack(losses, 1), stacked, parameters, like)


@dataclass(frozen=True, kw_only=True)
class DigitsTask:
    """Networks that tell handwritten digits apart, from `digits_to_train`, tested on `test_digits`.

    Attributes:
        hidden: Units of each hidden layer.
        images: How many a network is trained on.
        steps: Of training.
        optimiser: As for `train_side_by_side`.
        ramp: As for `train_side_by_side`.
        batch: As for `train_side_by_side`.
        residual: As for `network`.
        gated: As for `network`.
        odd: Whether the network has one output, which says that the digit is odd, instead of ten.
    """

    hidden: Sequence[int] = (32,) * 6
    images: int = 300
    steps: int = 200
    optimiser: str = "momentum"
    ramp: bool = False
    batch: int | None = None
    residual: bool = False
    gated: bool = False
    odd: bool = False

    def network(self, activation: Callable, seed: int, gain: float | None = 1.0) -> nn.Sequential:
        """An untrained network."""
        sizes = [64, *self.hidden, 1 if self.odd else 10]
        return network(sizes, activation, seed, gain, residual=self.residual, gated=self.gated)

    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy."""
        if self.odd:
            return nn.functional.binary_cross_entropy_with_logits(outputs[..., 0], labels)
        return nn.functional.cross_entropy(outputs, labels)

    def data(self, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Training images and labels of all seeds."""
        images, labels = digits_to_train(seeds, self.images)
        return images, self._labels(labels)

    def test(self) -> tuple[Tensor, Tensor]:
        """Test images and labels."""
        images, labels = test_digits()
        return images, self._labels(labels)

    def _labels(self, labels: Tensor) -> Tensor:
        return (labels % 2).double() if self.odd else labels

    def train(
        self,
        activation: Callable,
        seeds: Sequence[int],
        *,
        rate: float | Sequence[float],
        gain: float | Sequence[float | None] | None = 1.0,
        every: int | None = None,
    ) -> Runs:
        """One network a seed, trained side by side; their scores are accuracies on the test images.

        Args:
            activation: An elementwise torch function.
            seeds: Of weights, training images and batches.
            rate: Learning rate; one, or one a seed.
            gain: As for `network`; one, or one a seed.
            every: After how many steps loss and accuracy are taken down.
        """
        return self._train(activation, seeds, rate, gain, every, score=accuracy, test=self.test())

    def _train(self, activation, seeds, rate, gain, every=None, **scoring) -> Runs:
        gains = gain if isinstance(gain, Sequence) else [gain] * len(seeds)
        return train_side_by_side(
            [self.network(activation, seed, g) for seed, g in zip(seeds, gains, strict=True)],
            self.data(seeds),
            self.loss,
            self.steps,
            rate=rate,
            optimiser=self.optimiser,
            ramp=self.ramp,
            batch=self.batch,
            seeds=seeds,
            every=every,
            **scoring,
        )

    def tune(
        self,
        activation: Callable,
        seeds: Sequence[int],
        *,
        rates: Sequence[float],
        gains: Sequence[float | None] = (1.0,),
    ) -> "Tuned":
        """The learning rate and the gain with the lowest training loss, in the geometric mean over some seeds.

        Where nothing in the grid learns, that is, where no loss is 2% below that of guessing, none is better than
        another, and the best may lie anywhere.

        Args:
            activation: An elementwise torch function.
            seeds: Apart from those of which results are reported.
            rates: A grid whose best must lie inside of it.
            gains: Likewise, if there are more than two.

        Raises:
            ValueError: The best lies at an end of the grid.
        """
        cases = list(itertools.product(gains, rates, seeds))
        runs = self._train(
            activation,
            [seed for _, _, seed in cases],
            [rate for _, rate, _ in cases],
            [gain for gain, _, _ in cases],
        )
        logs = runs.losses[:, -1].clamp(min=1e-12).log().nan_to_num(math.inf, math.inf)
        means = logs.view(len(gains), len(rates), len(seeds)).mean(2)
        g, r = divmod(means.argmin().item(), len(rates))
        if means.min() < math.log(0.98 * math.log(2 if self.odd else 10)):
            best_of(rates, means[g])
            best_of(gains, means[:, r])
        return Tuned(rates[r], gains[g], means.exp())


def best_of(grid: Sequence[float], losses: Sequence[float] | Tensor) -> float:
    """What has the lowest loss of a grid; a loss that is no number is higher than any other.

    Args:
        grid: Learning rates, or gains, in order.
        losses: One for each.

    Raises:
        ValueError: It lies at an end of a grid of more than two, so that what lies beyond might be better.
    """
    place = torch.as_tensor(losses).nan_to_num(math.inf, math.inf).argmin().item()
    if len(grid) > 2 and place in (0, len(grid) - 1):
        raise ValueError(f"the best of {list(grid)}, {grid[place]}, lies at an end of the grid")
    return grid[place]


@dataclass(frozen=True)
class Tuned:
    """What `DigitsTask.tune` has chosen.

    Attributes:
        rate: The learning rate.
        gain: The gain of the weights.
        losses: Geometric mean of the training losses, (gains, rates).
    """

    rate: float
    gain: float | None
    losses: Tensor = field(repr=False)


def accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Share of the inputs whose largest output is that of their class; for one output, whose sign is that of it."""
    says = outputs.argmax(-1) if outputs.shape[-1] > 1 else (outputs[..., 0] > 0)
    return (says == targets).double().mean()


@dataclass(frozen=True)
class ByLayer:
    """How large signals and gradients are at each hidden layer, from the first to the last.

    Attributes:
        signals: Root mean square of the activations, over units and inputs.
        spread: Root mean square of what inputs differ by: of the activations without their mean over the inputs.
        gradients: Root mean square of the loss's gradient in z = W h + b, over units and inputs.
    """

    signals: list[float]
    spread: list[float]
    gradients: list[float]


def by_layer(model: nn.Sequential, inputs: Tensor, targets: Tensor, loss: Callable) -> ByLayer:
    """Signals and gradients by layer, of a `stack` or a `network`, before or after training.

    Args:
        model: Linear layers, each but the last with an activation behind it.
        inputs: A batch, one row an input.
        targets: What should come out.
        loss: From outputs and targets to a number.
    """
    zs, signals, spread = [], [], []
    h = inputs
    for layer in model:
        if isinstance(layer, _Function):
            zs.append(h.requires_grad_() if h.is_leaf else h)
            h = layer(h)
            signals.append(h.detach().square().mean().sqrt().item())
            spread.append((h.detach() - h.detach().mean(0)).square().mean().sqrt().item())
        else:
            h = layer(h)
    gradients = torch.autograd.grad(loss(h, targets), zs)
    return ByLayer(signals, spread, [g.square().mean().sqrt().item() for g in gradients])


class _Normalised(nn.Module):
    def forward(self, h: Tensor) -> Tensor:
        return nn.functional.layer_norm(h, h.shape[-1:])


class _Residual(nn.Module):
    def __init__(self, linear: nn.Linear, function: Callable):
        super().__init__()
        self.linear, self.function, self.normalised = linear, function, _Normalised()

    def forward(self, h: Tensor) -> Tensor:
        return h + self.function(self.linear(self.normalised(h)))


class _Function(nn.Module):
    def __init__(self, function: Callable):
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)
