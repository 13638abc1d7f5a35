"""The experiments measure what they say."""

import math
import statistics

import pytest
import torch

from actlib.book import training


def test_a_linear_stack_keeps_the_gradient_that_its_gain_says():
    # Each entry of W^T g has variance gain^2 times that of g; a width of 256 makes chance small.
    for gain in (0.5, 1.0, 2.0):
        norms = training.gradient_norms(lambda z: z, depth=8, width=256, gain=gain)
        assert training.factor_per_layer(norms) == pytest.approx(gain, rel=0.1)


def test_relu_keeps_the_gradient_under_he_initialisation():
    norms = training.gradient_norms(torch.relu, depth=10, width=512, gain=math.sqrt(2))
    assert training.factor_per_layer(norms) == pytest.approx(1, rel=0.1)


def test_gradient_norms_are_those_of_autograd():
    generator = torch.Generator().manual_seed(3)
    layers = training.stack(torch.tanh, 2, 5, generator=generator)
    first, _, second, _ = layers
    h = torch.randn(4, 5, dtype=torch.float64, generator=generator)
    upstream = torch.randn(4, 5, dtype=torch.float64, generator=generator)
    z1 = first(h)
    z2 = second(torch.tanh(z1))
    at_second = upstream * (1 - torch.tanh(z2) ** 2)
    at_first = (at_second @ second.weight) * (1 - torch.tanh(z1) ** 2)
    norms = training.gradient_norms(torch.tanh, depth=2, width=5, seed=3, batch=4)
    assert norms == pytest.approx([at_first.norm().item(), at_second.norm().item()])


def test_the_same_seed_gives_the_same_result():
    assert training.gradient_norms(torch.tanh, seed=1) == training.gradient_norms(torch.tanh, seed=1)
    assert training.gradient_norms(torch.tanh, seed=1) != training.gradient_norms(torch.tanh, seed=2)


def test_what_is_kept_for_backward_is_counted():
    x = torch.linspace(-2, 2, 5)
    (kept,) = training.kept_for_backward(torch.exp, x)
    assert torch.equal(kept, torch.exp(x))
    assert len(training.kept_for_backward(lambda x: x * torch.exp(x), x)) == 3
    assert training.kept_for_backward(lambda x: x + 1, x) == []


def test_calibration_error_by_hand():
    # Bin [0.2, 0.3): forecast 0.25, half came; bin [0.9, 1]: forecast 1, all came.
    forecasts, outcomes = torch.tensor([0.25, 0.25, 1.0, 1.0]), torch.tensor([0.0, 1.0, 1.0, 1.0])
    assert training.calibration_error(forecasts, outcomes) == pytest.approx(0.125)


def test_exact_probabilities_of_two_gaussians_are_calibrated():
    points, classes, probabilities = training.two_gaussians(200_000, seed=0)
    # The standard error of a bin of 20,000 cases is 0.004.
    assert training.calibration_error(probabilities, classes) < 0.01
    assert points.shape == (200_000, 2)
    assert classes.mean().item() == pytest.approx(0.5, abs=0.01)


def test_digits_are_split_without_overlap():
    images, labels, new_images, new_labels = training.digits(seed=0)
    assert (len(images), len(labels), len(new_images), len(new_labels)) == (600, 600, 1197, 1197)
    assert images.min() == 0
    assert images.max() == 1
    assert set(labels.tolist()) == set(range(10))


def test_training_reaches_the_least_squares_solution():
    points, classes, _ = training.two_gaussians(100, seed=0)
    model = training.network([2, 1], torch.tanh, seed=0)
    steps = []
    last = training.train(model, lambda: (model(points)[:, 0] - classes).square().mean(), 400, watch=steps.append)
    design = torch.cat([points, torch.ones(100, 1, dtype=torch.float64)], 1)
    solution = torch.linalg.lstsq(design, classes[:, None]).solution
    assert last == pytest.approx(((design @ solution)[:, 0] - classes).square().mean().item(), rel=1e-9)
    assert steps == list(range(401))


def test_a_network_has_its_activation_between_the_layers_only():
    model = training.network([3, 5, 2], torch.relu, seed=0, gain=2.0)
    assert [type(layer).__name__ for layer in model] == ["Linear", "_Function", "Linear"]
    assert model[0].weight.std().item() == pytest.approx(2 / math.sqrt(3), rel=0.5)
    assert not model[0].bias.any()


def test_layer_statistics_by_hand():
    model = training.network([2, 3, 1], torch.relu, seed=0)
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]]))
    inputs = torch.tensor([[1.0, 2.0], [3.0, -4.0]], dtype=torch.float64)
    (layer,) = training.layer_statistics(model, inputs)  # activations (1, 2, 0) and (3, 0, 1)
    assert layer.mean == pytest.approx(7 / 6)
    assert layer.deviation == pytest.approx(statistics.stdev([1, 2, 0, 3, 0, 1]))
    assert layer.zeros == pytest.approx(2 / 6)
    assert layer.dead == 0
    (layer,) = training.layer_statistics(model, inputs[:1])
    assert layer.dead == pytest.approx(1 / 3)


def test_statistics_of_each_layer_are_of_its_own_input():
    model = training.stack(torch.tanh, 3, 16, generator=torch.Generator().manual_seed(0))
    inputs = torch.randn(8, 16, dtype=torch.float64)
    layers = training.layer_statistics(model, inputs)
    for i, layer in enumerate(layers):
        assert layer.deviation == pytest.approx(model[: 2 * i + 2](inputs).std().item())
    assert len(layers) == 3


def test_a_unit_is_dead_when_its_slope_is_zero_though_its_output_is_not():
    model = training.network([1, 4, 1], lambda z: torch.where(z > 0, z, 0 * z - 1), seed=0)
    with torch.no_grad():
        model[0].bias.fill_(-100)
    (layer,) = training.layer_statistics(model, torch.ones(3, 1, dtype=torch.float64))
    assert (layer.dead, layer.zeros) == (1, 0)


def test_training_on_digits_learns_and_keeps_its_history():
    run = training.train_on_digits(torch.tanh, seed=0, hidden=(32,), steps=60)
    assert len(run.losses) == len(run.accuracies) == 61
    assert run.losses[0] > 2
    assert run.loss == run.losses[-1] < 0.5
    assert run.accuracy == run.accuracies[-1] > 0.8
    step = run.steps_to(0.8)
    assert run.accuracies[step] >= 0.8 > max(run.accuracies[:step])
    assert run.steps_to(1.01) == math.inf
    assert run.images.shape == (600, 64)
    assert [tuple(p.shape) for p in run.model.parameters()] == [(32, 64), (32,), (10, 32), (10,)]


def test_training_on_digits_depends_on_its_seed_alone():
    first, again, other = (training.train_on_digits(torch.tanh, seed, steps=3) for seed in (1, 1, 2))
    assert first.losses == again.losses != other.losses


def test_training_on_digits_takes_down_what_is_asked():
    often = training.train_on_digits(torch.tanh, 0, hidden=(16,), steps=20)
    seldom = training.train_on_digits(torch.tanh, 0, hidden=(16,), steps=20, every=10)
    assert seldom.losses == often.losses[::10]
    assert seldom.accuracies == often.accuracies[::10]
    assert seldom.steps_to(seldom.accuracies[1]) == 10
    with pytest.raises(ValueError, match="every must divide the number of steps, but 7 came for 20 steps"):
        training.train_on_digits(torch.tanh, 0, steps=20, every=7)


def _alone(model, optimiser, images, labels, steps, rows=None):
    for step in range(steps):
        seen = slice(None) if rows is None else rows[step]
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(images[seen]), labels[seen]).backward()
        optimiser.step()
        training.round_weights(model.parameters())
    return model


SEEDS, RATES = [3, 4, 5], [0.02, 0.05, 0.1]
OPTIMISERS = {
    "momentum": lambda model, rate: torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9),
    "adam": lambda model, rate: torch.optim.Adam(model.parameters(), lr=rate / 10),
}


@pytest.mark.parametrize("batch", [None, 20])
@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_models_side_by_side_are_trained_as_each_alone(optimiser, batch):
    models = [training.network([64, 16, 16, 10], torch.tanh, seed) for seed in SEEDS]
    data, test = training.digits_to_train(SEEDS, 100), training.test_digits()
    rates = RATES if optimiser == "momentum" else [rate / 10 for rate in RATES]
    runs = training.train_side_by_side(
        models,
        data,
        torch.nn.functional.cross_entropy,
        30,
        rate=rates,
        optimiser=optimiser,
        batch=batch,
        seeds=SEEDS,
        score=training.accuracy,
        test=test,
        every=10,
    )
    assert runs.steps == [0, 10, 20, 30]
    assert runs.losses.shape == runs.scores.shape == (3, 4)
    for i, (seed, rate) in enumerate(zip(SEEDS, RATES, strict=True)):
        generator = torch.Generator().manual_seed(seed)
        rows = [torch.randperm(100, generator=generator)[:batch] for _ in range(30)] if batch else None
        images, labels = (part[i] for part in data)
        model = training.network([64, 16, 16, 10], torch.tanh, seed)
        assert runs.losses[i, 0].item() == pytest.approx(
            torch.nn.functional.cross_entropy(model(images), labels).item(), abs=1e-12
        )
        _alone(model, OPTIMISERS[optimiser](model, rate), images, labels, 30, rows)
        for one, together in zip(model.parameters(), runs.model(i).parameters(), strict=True):
            torch.testing.assert_close(together, one, rtol=0, atol=1e-12)
        assert runs.losses[i, -1].item() == pytest.approx(
            torch.nn.functional.cross_entropy(model(images), labels).item(), abs=1e-12
        )
        right = (model(test[0]).argmax(1) == test[1]).double().mean().item()
        assert runs.scores[i, -1].item() == pytest.approx(right, abs=1e-12)


def test_weights_are_rounded_to_twenty_bits():
    generator = torch.Generator().manual_seed(0)
    sizes = 2 ** torch.arange(-500, 500, dtype=torch.float64)
    weights = sizes * torch.randn(1000, dtype=torch.float64, generator=generator)
    rounded = weights.clone()
    training.round_weights([rounded])
    mantissa, exponent = torch.frexp(weights)
    assert torch.equal(rounded, torch.ldexp((mantissa * 2**20).round() / 2**20, exponent))
    again = rounded.clone()
    training.round_weights([again])
    assert torch.equal(again, rounded)


@pytest.mark.parametrize("optimiser", ["momentum", "adam"])
def test_last_bits_do_not_outlive_a_training(optimiser, monkeypatch):
    """Gradients of a deep network get errors of a few ulp; without rounding they grow to 1e-3 and more."""
    task = training.DigitsTask(hidden=(16,) * 20, images=60, steps=150, optimiser=optimiser)
    rate = 0.05 if optimiser == "momentum" else 0.01

    def shaken(z):
        noise = torch.sin(1e6 * z.detach())  # what differs between processors looks random, too
        return torch.tanh(z) * (1 + 2**-51 * noise)

    def difference():
        first, second = (task.train(f, SEEDS, rate=rate, gain=1.5).parameters for f in (torch.tanh, shaken))
        return max((a - b).abs().max().item() for a, b in zip(first.values(), second.values(), strict=True))

    assert difference() == 0
    monkeypatch.setattr(training, "round_weights", lambda _: None)
    assert difference() > 1e-6


def test_what_does_not_fit_side_by_side_is_refused():
    models = [training.network([64, 10], torch.tanh, seed) for seed in SEEDS]
    data = training.digits_to_train(SEEDS, 10)
    train = lambda *a, **k: training.train_side_by_side(*a, torch.nn.functional.cross_entropy, 1, **k)
    with pytest.raises(ValueError, match="expected data for 2 models"):
        train(models[:2], data)
    with pytest.raises(ValueError, match="momentum or adam, but 'lion' came"):
        train(models, data, optimiser="lion")
    with pytest.raises(ValueError, match="one seed a model for the batches, 3 in all, but None came"):
        train(models, data, batch=5)


def test_digits_for_testing_are_never_trained_on():
    images, labels = training.test_digits()
    assert (images.shape, labels.shape) == ((797, 64), (797,))
    seen, _ = training.digits_to_train(range(3), 1000)
    assert seen.shape == (3, 1000, 64)
    tested = {tuple(row) for row in images.tolist()}
    assert not tested & {tuple(row) for row in seen.flatten(0, 1).tolist()}
    assert not torch.equal(seen[0], seen[1])
    with pytest.raises(ValueError, match="1 to 1,000 training images, but 1,001 came"):
        training.digits_to_train([0], 1001)


def test_steps_to_a_score_are_counted():
    runs = training.Runs([0, 5, 10], torch.empty(0), torch.tensor([[0.1, 0.6, 0.9], [0.1, 0.2, 0.3]]), {}, None)
    assert runs.steps_to(0.5) == [5.0, math.inf]


def test_accuracy_of_classes_and_of_yes_and_no():
    assert training.accuracy(torch.tensor([[1.0, 2.0], [3.0, 0.0]]), torch.tensor([1, 1])) == 0.5
    assert training.accuracy(torch.tensor([[1.0], [-2.0]]), torch.tensor([True, True])) == 0.5


def test_signals_and_gradients_by_layer_are_those_of_autograd():
    model = training.network([5, 4, 3, 2], torch.tanh, 0)
    inputs, targets = torch.randn(7, 5, dtype=torch.float64), torch.tensor([0, 1, 0, 1, 0, 1, 1])
    loss = torch.nn.functional.cross_entropy
    found = training.by_layer(model, inputs, targets, loss)
    z1 = model[0](inputs).detach().requires_grad_()
    h1 = torch.tanh(z1)
    z2 = model[2](h1)
    h2 = torch.tanh(z2)
    gradients = torch.autograd.grad(loss(model[4](h2), targets), [z1, z2])
    rms = lambda t: t.detach().square().mean().sqrt().item()
    assert found.signals == pytest.approx([rms(h1), rms(h2)])
    assert found.spread == pytest.approx([rms(h1 - h1.mean(0)), rms(h2 - h2.mean(0))])
    assert found.gradients == pytest.approx([rms(g) for g in gradients])


def test_default_initialisation_is_that_of_pytorch():
    weights = [training.network([300, 300, 10], torch.relu, seed, None)[0] for seed in range(3)]
    for linear in weights:
        assert linear.weight.var().item() == pytest.approx(1 / 900, rel=0.05)
        assert linear.weight.abs().max().item() <= 1 / math.sqrt(300)
        assert linear.bias.var().item() == pytest.approx(1 / 900, rel=0.3)
    theirs = torch.nn.Linear(300, 300).weight
    assert theirs.var().item() == pytest.approx(weights[0].weight.var().item(), rel=0.05)


def test_residual_network_by_hand():
    model = training.network([4, 3, 3, 2], torch.tanh, 0, residual=True)
    x = torch.randn(5, 4, dtype=torch.float64)
    first, inner, last = (m for m in model.modules() if isinstance(m, torch.nn.Linear))
    normalised = lambda h: (h - h.mean(1, True)) / (h.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
    h = torch.tanh(first(x))
    h = h + torch.tanh(inner(normalised(h)))
    torch.testing.assert_close(model(x), last(normalised(h)))


@pytest.mark.parametrize("residual", [False, True])
def test_gated_network_has_two_numbers_for_each_unit(residual):
    product = lambda z: z[..., : z.shape[-1] // 2] * z[..., z.shape[-1] // 2 :]
    model = training.network([4, 3, 3, 2], product, 0, residual=residual, gated=True)
    shapes = [tuple(p.shape) for name, p in model.named_parameters() if name.endswith("weight")]
    assert shapes == [(6, 4), (6, 3), (2, 3)]
    x = torch.linspace(-1, 1, 8, dtype=torch.float64).view(2, 4)
    gate, value = model[0](x).chunk(2, -1)
    torch.testing.assert_close(model[1](model[0](x)), gate * value)
    assert model(x).shape == (2, 2)


@pytest.mark.parametrize("options", [{}, {"odd": True}, {"residual": True}, {"optimiser": "adam"}, {"batch": 30}])
def test_digits_task_learns(options):
    task = training.DigitsTask(hidden=(16, 16), images=100, steps=40, **options)
    runs = task.train(torch.tanh, [1, 2], rate=0.02 if task.optimiser == "adam" else 0.1, every=20)
    assert runs.steps == [0, 20, 40]
    assert (runs.losses[:, -1] < runs.losses[:, 0]).all()
    assert (runs.scores[:, -1] > (0.6 if task.odd else 0.3)).all()


def test_tuning_finds_the_best_inside_of_the_grid():
    task = training.DigitsTask(hidden=(16,), images=50, steps=20)
    tuned = task.tune(torch.tanh, [7, 8], rates=[1e-3, 1e-2, 0.3, 100.0])
    assert (tuned.rate, tuned.gain) == (0.3, 1.0)
    assert tuned.losses.shape == (1, 4)
    with pytest.raises(ValueError, match=r"the best of \[0\.001, 0\.01, 0\.03\], 0\.03, lies at an end of the grid"):
        task.tune(torch.tanh, [7, 8], rates=[1e-3, 1e-2, 0.03])
    tuned = task.tune(torch.tanh, [7], rates=[0.3], gains=[1e-4, 1.0, 30.0])
    assert tuned.gain == 1.0


def test_without_test_data_each_model_is_scored_on_its_own_training_data():
    models = [training.network([64, 8, 10], torch.tanh, seed) for seed in SEEDS]
    images, labels = data = training.digits_to_train(SEEDS, 20)
    several = lambda outputs, targets: torch.stack([training.accuracy(outputs, targets), outputs.mean()])
    loss = torch.nn.functional.cross_entropy
    scores = training.train_side_by_side(models, data, loss, 2, score=several, every=1).scores
    assert scores.shape == (3, 3, 2)  # models, moments, what `several` gives
    for i, model in enumerate(models):
        torch.testing.assert_close(scores[i, 0], several(model(images[i]), labels[i]))


def test_steps_to_a_loss_are_read_off_between_two_looks():
    falls, starts_below, never = [1.0, 1e-2, 1e-4], [1e-3, 1.0, 1.0], [1.0, 0.5, math.nan]
    losses = torch.tensor([falls, starts_below, never], dtype=torch.float64)
    runs = training.Runs([0, 10, 20], losses, torch.empty(0), {}, None)
    assert runs.steps_to_loss(1e-3) == [pytest.approx(15, abs=1e-4), 0.0, math.inf]
    from_nowhere = training.Runs([0, 4], torch.tensor([[math.inf, 0.1]]), torch.empty(0), {}, None)
    assert from_nowhere.steps_to_loss(0.5) == [4.0]


@pytest.mark.parametrize("odd", [False, True])
def test_where_nothing_learns_the_best_may_lie_anywhere(odd):
    task = training.DigitsTask(hidden=(16,), images=50, steps=5, odd=odd)
    tuned = task.tune(lambda z: 0 * z, [7, 8], rates=[1e-6, 1e-7, 1e-8])
    assert tuned.rate in (1e-6, 1e-8)


def test_ramp_raises_the_learning_rate_and_brings_it_to_zero():
    """Twenty steps by hand: two to the top, and eighteen on the way down."""
    data = tuple(part[None] for part in (torch.ones(1, 1).double(), torch.ones(1, 1).double()))
    model = torch.nn.Linear(1, 1, bias=False, dtype=torch.float64)
    with torch.no_grad():
        model.weight.zero_()
    loss = lambda outputs, targets: (outputs - targets).sum()  # its gradient is 1
    runs = training.train_side_by_side([model], data, loss, 20, rate=0.3, momentum=0.0, ramp=True)
    assert runs.parameters["weight"].item() == pytest.approx(-0.3 * (0.5 + 1 + sum(range(1, 19)) / 18))


def test_best_of_a_grid_lies_inside_of_it():
    assert training.best_of([1, 2, 3], [0.5, 0.1, math.nan]) == 2
    assert training.best_of([1, 2, 3, 4], [math.inf, 0.3, 0.2, 0.9]) == 3
    for losses in ([0.1, 0.2, 0.3], [math.nan, 0.2, 0.1]):
        with pytest.raises(ValueError, match=r"the best of \[1, 2, 3\], [13], lies at an end of the grid"):
            training.best_of([1, 2, 3], losses)


def test_mean_squares_are_those_of_the_normal_distribution():
    for variance in (0.01, 1.0, 100.0):
        assert training.mean_square(lambda z: z, variance) == pytest.approx(variance, rel=1e-6)
        assert training.mean_square(torch.relu, variance) == pytest.approx(variance / 2, rel=1e-5)


def test_balanced_gain_keeps_the_gradient():
    assert training.balanced_gain(torch.relu) == pytest.approx(math.sqrt(2), rel=1e-4)
    gain = training.balanced_gain(torch.tanh)
    assert training.predicted_factor(torch.tanh, gain) == pytest.approx(1, abs=1e-6)
    norms = training.gradient_norms(torch.tanh, width=256, gain=gain)
    assert training.factor_per_layer(norms) == pytest.approx(1, abs=0.03)
