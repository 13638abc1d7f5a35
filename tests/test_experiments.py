"""The experiments measure what they say."""

import json
import math
import statistics

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


def test_a_difference_is_clear_when_chance_hardly_explains_it():
    seeds = [0.90, 0.92, 0.88, 0.91, 0.89]
    assert experiments.clearly_above([s + 0.01 for s in seeds], seeds)  # the same difference each time
    assert experiments.clearly_above([0.91, 0.932, 0.889, 0.921, 0.9], seeds)
    assert not experiments.clearly_above([0.91, 0.91, 0.89, 0.9, 0.9], seeds)
    assert not experiments.clearly_above(seeds, [s + 0.01 for s in seeds])
    assert not experiments.clearly_above(seeds, seeds)


def test_chance_rarely_makes_a_clear_difference():
    generator = torch.Generator().manual_seed(0)
    draws = torch.randn(2000, 2, 5, generator=generator).tolist()
    share = sum(experiments.clearly_above(a, b) for a, b in draws) / len(draws)
    assert 0.015 < share < 0.035  # the level of 2.5%, with a standard error of 0.35%


def test_layer_statistics_by_hand():
    model = experiments.network([2, 3, 1], torch.relu, seed=0)
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]]))
    inputs = torch.tensor([[1.0, 2.0], [3.0, -4.0]], dtype=torch.float64)
    (layer,) = experiments.layer_statistics(model, inputs)  # activations (1, 2, 0) and (3, 0, 1)
    assert layer.mean == pytest.approx(7 / 6)
    assert layer.deviation == pytest.approx(statistics.stdev([1, 2, 0, 3, 0, 1]))
    assert layer.zeros == pytest.approx(2 / 6)
    assert layer.dead == 0
    (layer,) = experiments.layer_statistics(model, inputs[:1])
    assert layer.dead == pytest.approx(1 / 3)


def test_statistics_of_each_layer_are_of_its_own_input():
    model = experiments.stack(torch.tanh, 3, 16, generator=torch.Generator().manual_seed(0))
    inputs = torch.randn(8, 16, dtype=torch.float64)
    layers = experiments.layer_statistics(model, inputs)
    for i, layer in enumerate(layers):
        assert layer.deviation == pytest.approx(model[: 2 * i + 2](inputs).std().item())
    assert len(layers) == 3


def test_a_unit_is_dead_when_its_slope_is_zero_though_its_output_is_not():
    model = experiments.network([1, 4, 1], lambda z: torch.where(z > 0, z, 0 * z - 1), seed=0)
    with torch.no_grad():
        model[0].bias.fill_(-100)
    (layer,) = experiments.layer_statistics(model, torch.ones(3, 1, dtype=torch.float64))
    assert (layer.dead, layer.zeros) == (1, 0)


def test_training_on_digits_learns_and_keeps_its_history():
    run = experiments.train_on_digits(torch.tanh, seed=0, hidden=(32,), steps=60)
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
    first, again, other = (experiments.train_on_digits(torch.tanh, seed, steps=3) for seed in (1, 1, 2))
    assert first.losses == again.losses != other.losses


def test_stored_cost_reads_what_the_benchmark_keeps(tmp_path):
    row = {"function": "tanh", "dtype": "float32", "task": "value"}
    rows = [
        row | {"elements": n, "ratio to copy": {"actlib": [1, t, 9], "torch": [0, 2.0, 9]}}
        for n, t in ((64, 4.0), (8, 3.0))
    ]
    on_gpu = [r | {"seconds": {}} for r in rows]
    (tmp_path / "a.json").write_text(json.dumps({"device": "a GPU", "rows": on_gpu}), encoding="utf-8")
    (tmp_path / "b.json").write_text(json.dumps({"device": "a CPU", "rows": rows}), encoding="utf-8")
    cost = experiments.stored_cost(tmp_path, "tanh")
    assert (cost.device, cost.elements) == ("a CPU", [8, 64])
    assert cost.times == {"actlib": [3.0, 4.0], "torch": [2.0, 2.0]}
    assert cost.ratio("actlib", "torch") == [1.5, 2.0]
    with pytest.raises(LookupError, match="python -m benchmarks elu"):
        experiments.stored_cost(tmp_path, "elu")


def results_of_softmax(folder, **more):
    row = {"function": "softmax", "dtype": "float32", "task": "value", "bytes to copy": 1.0}
    rows = [
        row | {"elements": n, "row": length, "ratio to copy": {"copy": [1, 1, 1], "torch": [1, t, 9]} | slow} | more
        for n, length, t, slow in (
            (4096, 1024, 2.0, {}),
            (512, 512, 4.0, {"jax": [1, 8.0, 9]}),
            (4096, 128, 5.0, {}),
        )
    ]
    (folder / "a.json").write_text(
        json.dumps({"device": "a chip", "rows": rows, "versions": {"torch": "2"}}), encoding="utf-8"
    )
    (results,) = experiments.stored_results(folder)
    return results


def test_costs_by_size_are_of_rows_of_the_usual_length(tmp_path):
    results = results_of_softmax(tmp_path)
    cost = results.cost("softmax")
    assert cost.elements == [512, 4096]
    assert cost.times["torch"] == [4.0, 2.0]
    assert cost.shares["torch"] == [0.25, 0.5]
    assert "copy" not in cost.shares
    assert cost.times["jax"][0] == 8.0
    assert math.isnan(cost.times["jax"][1])
    assert cost.seconds == {}
    assert results.cost("softmax", task="gradient").elements == []
    assert experiments.stored_cost(tmp_path, "softmax").elements == cost.elements


def test_costs_by_length_of_the_rows(tmp_path):
    cost = results_of_softmax(tmp_path).cost_by_row("softmax")
    assert (cost.elements, cost.times["torch"]) == ([128, 1024], [5.0, 2.0])


def test_results_of_a_gpu_have_seconds(tmp_path):
    results = results_of_softmax(tmp_path, seconds={"torch": [1e-6, 2e-6, 3e-6]})
    assert results.gpu
    assert results.cost("softmax").seconds["torch"] == [2e-6, 2e-6]
    assert (results.functions, results.versions) == (["softmax"], {"torch": "2"})


def test_training_on_digits_takes_down_what_is_asked():
    often = experiments.train_on_digits(torch.tanh, 0, hidden=(16,), steps=20)
    seldom = experiments.train_on_digits(torch.tanh, 0, hidden=(16,), steps=20, every=10)
    assert seldom.losses == often.losses[::10]
    assert seldom.accuracies == often.accuracies[::10]
    assert seldom.steps_to(seldom.accuracies[1]) == 10
    with pytest.raises(ValueError, match="every must divide the number of steps, but 7 came for 20 steps"):
        experiments.train_on_digits(torch.tanh, 0, steps=20, every=7)


def _chapter(folder, name, *tables):
    heading = {"cell_type": "markdown", "source": ["# A heading\n", "\n", "and prose"]}
    outputs = [{"data": {"text/plain": [line + "\n" for line in table]}} for table in tables]
    cells = [heading, {"cell_type": "code", "source": [], "outputs": outputs}]
    (folder / f"{name}.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf-8")


def test_verdicts_are_read_from_the_tables_of_the_chapters(tmp_path):
    measured = ["what | number", "speed | 3"]
    verdicts = ["claim | experiment | measured | verdict", "is fast | a race | 3 of 5 | holds in part"]
    _chapter(tmp_path, "01_function", measured, verdicts)
    _chapter(tmp_path, "11_no_function", verdicts)
    (trial,) = experiments.stored_verdicts(tmp_path)
    assert trial == experiments.Trial("01_function", "A heading", "is fast", "3 of 5", "holds in part")


def test_chapter_without_verdicts_is_named(tmp_path):
    _chapter(tmp_path, "01_function", ["what | number", "speed | 3"])
    with pytest.raises(LookupError, match="01_function"):
        experiments.stored_verdicts(tmp_path)
