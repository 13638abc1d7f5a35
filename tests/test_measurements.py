"""What is kept of measurements, and how it is read."""

import json
import math

import numpy as np
import pytest
import torch

from actlib.book import costs, measurements


def test_stored_cost_reads_what_the_benchmark_keeps(tmp_path):
    row = {"function": "tanh", "dtype": "float32", "task": "value"}
    rows = [
        row | {"elements": n, "ratio to copy": {"actlib": [1, t, 9], "torch": [0, 2.0, 9]}}
        for n, t in ((64, 4.0), (8, 3.0))
    ]
    on_gpu = [r | {"seconds": {}} for r in rows]
    (tmp_path / "a.json").write_text(json.dumps({"device": "a GPU", "rows": on_gpu}), encoding="utf-8")
    (tmp_path / "b.json").write_text(json.dumps({"device": "a CPU", "rows": rows}), encoding="utf-8")
    cost = measurements.stored_cost("tanh", results=tmp_path)
    assert (cost.device, cost.elements) == ("a CPU", [8, 64])
    assert cost.times == {"actlib": [3.0, 4.0], "torch": [2.0, 2.0]}
    assert cost.ratio("actlib", "torch") == [1.5, 2.0]
    with pytest.raises(LookupError, match="python -m benchmarks elu"):
        measurements.stored_cost("elu", results=tmp_path)


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
    (results,) = measurements.stored_results(folder)
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
    assert measurements.stored_cost("softmax", results=tmp_path).elements == cost.elements


def test_costs_by_length_of_the_rows(tmp_path):
    cost = results_of_softmax(tmp_path).cost_by_row("softmax")
    assert (cost.elements, cost.times["torch"]) == ([128, 1024], [5.0, 2.0])


def test_results_of_a_gpu_have_seconds(tmp_path):
    results = results_of_softmax(tmp_path, seconds={"torch": [1e-6, 2e-6, 3e-6]})
    assert results.gpu
    assert results.cost("softmax").seconds["torch"] == [2e-6, 2e-6]
    assert (results.functions, results.versions) == (["softmax"], {"torch": "2"})


def test_a_measurement_is_taken_when_asked_for_and_then_kept(tmp_path, monkeypatch):
    taken = []

    def measure():
        taken.append(1)
        return {"worst": math.inf, "of": [1, 0.25]}

    with pytest.raises(LookupError, match="nothing is kept of 'speed'"):
        measurements.kept("speed", measure, tmp_path)
    monkeypatch.setenv("ACTLIB_MEASURE", "1")
    now = measurements.kept("speed", measure, tmp_path)
    measurements.kept("other", lambda: 1, tmp_path)
    monkeypatch.delenv("ACTLIB_MEASURE")
    later = measurements.kept("speed", measure, tmp_path)
    assert now == later
    assert later.value == {"worst": math.inf, "of": [1, 0.25]}
    assert f"torch {torch.__version__.partition('+')[0]}" in later.machine
    assert len(taken) == 1


def test_kept_errors_stand_beside_our_own(tmp_path, monkeypatch):
    inputs = torch.tensor([-1.0, 0.5, 0.75, 3.0], dtype=torch.bfloat16)
    calls = []

    def judge(functions):
        calls.extend(functions)
        return {"value": {name: np.array(error) for name, error in functions.items()}}

    monkeypatch.setattr(measurements.kept, "__defaults__", (tmp_path,))
    arguments = "f", inputs, judge, {"ours": [0.5, 0, 0.25, 0.5]}, {"theirs": [2.0, 1.23456, np.inf, 0.5]}
    monkeypatch.setenv("ACTLIB_MEASURE", "1")
    measurements.errors(*arguments)
    monkeypatch.delenv("ACTLIB_MEASURE")
    calls.clear()
    value = measurements.errors(*arguments)["value"]
    assert calls == ["ours"]
    assert list(value) == ["ours", "theirs"]
    assert value["theirs"].largest.tolist() == [2.0, 1.235, np.inf, 0.5]
    assert (value["theirs"].over, value["theirs"].count, value["theirs"].share) == (3, 4, 0.75)
    assert (value["ours"].machine, bool(value["theirs"].machine)) == ("", True)


def test_kept_results_name_their_machine():
    files = list(measurements.PEERS.glob("*.json"))
    assert files
    for file in files:
        for one in json.loads(file.read_text(encoding="utf-8")).values():
            assert one.keys() == {"machine", "value"}
            assert file == measurements.file_of(file.parent, one["machine"].partition(", torch")[0])


def formula_results(folder):
    def row(pages, elements, function, seconds, faults):
        return {"pages": pages, "elements": elements, "task": "value", "function": function} | {
            "faults": faults,
            "waited": 0.0,
            "seconds": seconds,
        }

    rows = [
        row("reused", 8, "relu", [1.0, 2.0], 0.0),
        row("reused", 8, "relu again", [2.0, 2.0], 0.0),
        row("reused", 8, "tanh", [4.0, 6.0], 0.0),
        row("reused", 64, "relu", [8.0, 8.0], 0.0),
        row("fresh", 64, "relu", [16.0, 24.0], 17.0),
    ]
    report = {"device": "a CPU, 2 threads", "threads": 2, "date": "2026-01-01", "versions": {"torch": "2"}, "rounds": 2}
    (folder / "a.json").write_text(json.dumps(report | {"rows": rows}), encoding="utf-8")
    return costs.formula_costs(folder)


def test_formula_costs_are_read_round_by_round(tmp_path):
    found = formula_results(tmp_path)
    assert (found.device, found.threads, found.rounds, found.versions) == ("a CPU, 2 threads", 2, 2, {"torch": "2"})
    assert (found.elements, found.tasks, found.pages) == ([8, 64], ["value"], ["reused", "fresh"])
    assert found.functions == ["relu", "relu again", "tanh"]
    assert (found.sizes(), found.sizes("fresh")) == ([8, 64], [64])
    assert found.seconds("tanh", 8) == [4.0, 6.0]
    assert found.ratio("tanh", "relu", 8) == [4.0, 3.0]
    assert found.noise(8) == [0.5, 1.0]
    assert found.seconds("relu", 64, pages="fresh") == [16.0, 24.0]
    assert (found.faults("relu", 64), found.faults("relu", 64, "value", "fresh")) == (0, 17)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("sigmod", 8), "function is one of relu, relu again, tanh, but 'sigmod' came"),
        (("tanh", 9), "elements is one of 8, 64, but 9 came"),
        (("tanh", 8, "gradient"), "task is one of value, but 'gradient' came"),
        (("tanh", 8, "value", "old"), "pages is one of reused, fresh, but 'old' came"),
        (("tanh", 64, "value", "fresh"), "tanh was not measured with fresh memory at 64 elements"),
    ],
)
def test_what_was_not_measured_is_said(arguments, said, tmp_path):
    found = formula_results(tmp_path)
    for ask in (found.seconds, found.faults):
        with pytest.raises(LookupError, match=said):
            ask(*arguments)
    with pytest.raises(LookupError, match="run python -m benchmarks --formulas"):
        costs.formula_costs(tmp_path / "none")
    with pytest.raises(LookupError, match="pages is one of reused, fresh, but 'old' came"):
        found.sizes("old")


def test_what_is_kept_of_formulas_is_whole():
    files = list(costs.COST.glob("*.json"))
    assert files
    formulas = ["relu", "leaky_relu", "elu", "sigmoid", "tanh", "silu", "gelu", "gelu_tanh", "softplus", "mish"]
    few = {"copy", "relu", "relu again", "sigmoid", "tanh"}
    names = {"copy", "relu again", *formulas, *(f"actlib {name}" for name in formulas)}
    for file in files:
        found = costs.FormulaCosts(**json.loads(file.read_text(encoding="utf-8")))
        assert file == measurements.file_of(file.parent, found.device)
        assert found.device.endswith(f", {found.threads} threads")
        assert {"python", "torch", "llvmlite", "actlib source"} <= found.versions.keys()
        assert found.rounds >= 15
        assert found.elements == [2**10, 2**14, 2**18, 2**22, 2**24]
        assert found.tasks == ["value", "value and gradient"]
        assert found.pages in (["reused", "fresh", "default"], ["default"])
        expected = {
            (pages, size, task, name)
            for pages in found.pages
            for size in found.elements
            for task in found.tasks
            for name in (names if pages == found.pages[0] else few)
            if (pages, size) != ("fresh", 2**10)
        }
        kept = [(r["pages"], r["elements"], r["task"], r["function"]) for r in found.rows]
        assert len(kept) == len(expected)
        assert set(kept) == expected
        for row in found.rows:
            assert len(row["seconds"]) == found.rounds
            assert all(0 < s == float(f"{s:.4g}") for s in row["seconds"])
            tensors = {"value": 1, "value and gradient": 2}[row["task"]]
            if row["pages"] == "reused":
                assert (
                    row["faults"] < 0.1
                )  # Python takes a page now and then; a tensor would take at least one each time
            elif row["pages"] == "fresh":  # in pages of 4 KiB
                assert row["faults"] == pytest.approx(tensors * (row["elements"] * 4 / 4096 + 1), rel=0.01)


def test_noise_of_kept_costs_is_a_factor_of_at_least_one():
    kept = costs.formula_costs()
    for elements in kept.sizes():
        ratios = kept.noise(elements)
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        assert kept.noise_factor(elements) > max(mean, 1 / mean) >= 1
