"""The experiments measure what they say."""

import math

import pytest
import torch

from actlib import experiments


@pytest.mark.parametrize(
    ("findings", "expected"),
    [([True, True], "holds"), ([True, False], "holds in part"), ([False, False], "does not hold")],
)
def test_verdict_follows_from_the_findings(findings, expected):
    assert experiments.verdict(findings) == expected


def test_spread_is_mean_and_deviation():
    assert experiments.spread([1.0, 2.0, 3.0], 1) == "2.0 ± 1.0"


def test_a_linear_stack_keeps_the_gradient_that_its_gain_says():
    # Each entry of W^T g has variance gain^2 times that of g; a width of 256 makes chance small.
    for gain in (0.5, 1.0, 2.0):
        norms = experiments.gradient_norms(lambda z: z, depth=8, width=256, gain=gain)
        assert experiments.factor_per_layer(norms) == pytest.approx(gain, rel=0.1)


def test_relu_keeps_the_gradient_under_he_initialisation():
    norms = experiments.gradient_norms(torch.relu, depth=10, width=512, gain=math.sqrt(2))
    assert experiments.factor_per_layer(norms) == pytest.approx(1, rel=0.1)


def test_gradient_norms_are_those_of_autograd():
    generator = torch.Generator().manual_seed(3)
    layers = experiments.stack(torch.tanh, 2, 5, generator=generator)
    first, _, second, _ = layers
    h = torch.randn(4, 5, dtype=torch.float64, generator=generator)
    upstream = torch.randn(4, 5, dtype=torch.float64, generator=generator)
    z1 = first(h)
    z2 = second(torch.tanh(z1))
    at_second = upstream * (1 - torch.tanh(z2) ** 2)
    at_first = (at_second @ second.weight) * (1 - torch.tanh(z1) ** 2)
    norms = experiments.gradient_norms(torch.tanh, depth=2, width=5, seed=3, batch=4)
    assert norms == pytest.approx([at_first.norm().item(), at_second.norm().item()])


def test_the_same_seed_gives_the_same_result():
    assert experiments.gradient_norms(torch.tanh, seed=1) == experiments.gradient_norms(torch.tanh, seed=1)
    assert experiments.gradient_norms(torch.tanh, seed=1) != experiments.gradient_norms(torch.tanh, seed=2)


def test_what_is_kept_for_backward_is_counted():
    x = torch.linspace(-2, 2, 5)
    (kept,) = experiments.kept_for_backward(torch.exp, x)
    assert torch.equal(kept, torch.exp(x))
    assert len(experiments.kept_for_backward(lambda x: x * torch.exp(x), x)) == 3
    assert experiments.kept_for_backward(lambda x: x + 1, x) == []


def test_calibration_error_by_hand():
    # Bin [0.2, 0.3): forecast 0.25, half came; bin [0.9, 1]: forecast 1, all came.
    forecasts, outcomes = torch.tensor([0.25, 0.25, 1.0, 1.0]), torch.tensor([0.0, 1.0, 1.0, 1.0])
    assert experiments.calibration_error(forecasts, outcomes) == pytest.approx(0.125)


def test_exact_probabilities_of_two_gaussians_are_calibrated():
    points, classes, probabilities = experiments.two_gaussians(200_000, seed=0)
    # The standard error of a bin of 20,000 cases is 0.004.
    assert experiments.calibration_error(probabilities, classes) < 0.01
    assert points.shape == (200_000, 2)
    assert classes.mean().item() == pytest.approx(0.5, abs=0.01)


def test_digits_are_split_without_overlap():
    images, labels, new_images, new_labels = experiments.digits(seed=0)
    assert (len(images), len(labels), len(new_images), len(new_labels)) == (600, 600, 1197, 1197)
    assert images.min() == 0
    assert images.max() == 1
    assert set(labels.tolist()) == set(range(10))


def test_training_reaches_the_least_squares_solution():
    points, classes, _ = experiments.two_gaussians(100, seed=0)
    model = experiments.network([2, 1], torch.tanh, seed=0)
    steps = []
    last = experiments.train(model, lambda: (model(points)[:, 0] - classes).square().mean(), 400, watch=steps.append)
    design = torch.cat([points, torch.ones(100, 1, dtype=torch.float64)], 1)
    solution = torch.linalg.lstsq(design, classes[:, None]).solution
    assert last == pytest.approx(((design @ solution)[:, 0] - classes).square().mean().item(), rel=1e-9)
    assert steps == list(range(401))


def test_a_network_has_its_activation_between_the_layers_only():
    model = experiments.network([3, 5, 2], torch.relu, seed=0, gain=2.0)
    assert [type(layer).__name__ for layer in model] == ["Linear", "_Function", "Linear"]
    assert model[0].weight.std().item() == pytest.approx(2 / math.sqrt(3), rel=0.5)
    assert not model[0].bias.any()
