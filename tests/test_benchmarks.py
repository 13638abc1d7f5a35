"""The benchmark measures what it says; how fast anything is, is not tested."""

import itertools
import json
import math
import random
import subprocess
import sys

import pytest
import torch
from conftest import ROOT, need, on_linux

from actlib.book import costs, measurements
from benchmarks import __main__ as program
from benchmarks import bars, formulas, layers, memory, pages, report, steps, timing
from benchmarks.peers import IN_DEPTH, IN_STEPS, PEERS, TASKS, Case, Peer

CPU = torch.device("cpu")
BY_NAME = {peer.name: peer for peer in PEERS}


def case(function, elements=1024, dtype=torch.float32, **more):
    row = 256 if function == "softmax" else None
    return Case(function, dtype, elements, row, CPU, **more)


def sets_of(one, count=1):
    shape = one.shape
    return [
        (tuple(torch.randn(shape).to(one.dtype) for _ in range(one.inputs)), torch.randn(shape).to(one.dtype))
    ] * count


def python(code, *arguments):
    """Runs a program of its own, since what measuring memory needs would slow down other tests."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    run = subprocess.run(command, capture_output=True, encoding="utf-8", check=False, cwd=ROOT)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.fixture(scope="module")
def small_run(tmp_path_factory):
    """The folder of results and the output of a tiny run on a machine without peers."""
    folder = tmp_path_factory.mktemp("results")
    code = (
        "import sys; sys.modules |= {'jax': None, 'liger_kernel': None}; "
        "from benchmarks.__main__ import main; main(sys.argv[1:])"
    )
    arguments = ["swiglu", "softmax", "relu_squared", "--elements", 256, 4096, "--rounds", 2, "--threads", 1]
    arguments += ["--patience", 0]
    places = ["--results", folder, "--plots", folder / "plots"]
    return folder, python(code, *arguments, *places, "--no-compile", "--device", "cpu")


def test_results_have_every_case_that_was_asked_for(small_run):
    folder, _ = small_run
    (file,) = folder.glob("*.json")
    results = json.loads(file.read_text(encoding="utf-8"))
    assert results["threads"] == 1
    assert results["pages"] == pages.available()[0]
    assert {"python", "torch", "actlib source"} <= results["versions"].keys()
    assert results["failed"] == []
    cases = [(r["function"], r["dtype"], r["elements"], r.get("row"), r["task"]) for r in results["rows"]]
    assert len(set(cases)) == len(cases)
    assert {c[:3] for c in cases if c[3] in (None, min(c[2], 1024))} == {
        (f, d, n) for f in ("swiglu", "softmax", "relu_squared") for d in ("float32", "bfloat16") for n in (256, 4096)
    }
    assert {c[4] for c in cases} == set(TASKS)
    for row in results["rows"]:
        assert row["ratio to copy"]["copy"] == [1, 1, 1]
        others = {"torch"} if row["function"] != "relu_squared" else set()
        assert row["ratio to copy"].keys() == {"copy", "torch relu", "actlib"} | others
        assert row["quotients"].keys() == {"actlib"}
        assert row["quotients"]["actlib"].keys() == others
        assert "seconds" not in row  # no absolute times of a CPU
        assert all(0 < low <= middle <= high for low, middle, high in row["ratio to copy"].values())


def test_chapters_read_the_results(small_run):
    folder, _ = small_run
    cost = measurements.stored_cost("softmax", "bfloat16", "value and gradient", results=folder)
    assert cost.elements == [256, 4096]
    assert cost.times.keys() == {"copy", "torch relu", "torch", "actlib"}
    (results,) = measurements.stored_results(folder)
    assert not results.gpu
    assert results.functions == ["softmax", "swiglu", "relu_squared"]
    assert [m["contender"] for m in results.memory if m["function"] == "relu_squared"] == ["actlib"] * 2
    assert len(results.bars) == 12


def test_a_missing_peer_is_said(small_run):
    folder, output = small_run
    (results,) = measurements.stored_results(folder)
    by_name = {one["name"]: one for one in results.missing}
    assert by_name.keys() == {"jax", "liger", "torch compiled", "actlib compiled"}
    assert "pip install -e .[bench]" in by_name["jax"]["install"]
    assert "Not compared: jax: import of jax halted" in output
    assert "Not compared: liger: compared on GPUs alone" in output


def test_bars_and_figures_are_shown(small_run):
    folder, output = small_run
    assert output.count("not measured") == 10
    figures = sorted(f.name for f in (folder / "plots").glob("*.svg"))
    assert len(figures) == 3 * len(TASKS) * 2
    assert "swiglu" in (folder / "plots" / figures[-1]).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sigmod"], "unknown: sigmod; known: sigmoid, tanh"),
        (["--elements", "0"], "0 is below 1"),
        (["softmax", "--elements", "1536"], "1536 elements cannot be cut into rows of 1024"),
        (["--rounds", "many"], "invalid positive value: 'many'"),
        (["--device", "cuda"], "torch finds no GPU"),
        (["--pages", "old"], "argument --pages: invalid choice: 'old'"),
        (["--formulas", "tanh"], "with --formulas go --elements, --rounds, --patience, --threads, --results alone"),
        (["--formulas", "--device", "cuda"], "with --formulas go"),
        (["--formulas", "--pages", "fresh"], "with --formulas go"),
    ],
)
def test_wrong_arguments_are_refused(arguments, said, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        program.main(arguments)
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "peer", [p for p in PEERS if p.takes is None and not p.missing(CPU) and "compiled" not in p.name]
)
@pytest.mark.parametrize("function", IN_DEPTH)
def test_peers_compute_the_same_function(peer, function):
    for dtype in (torch.float32, torch.bfloat16):
        one = case(function, dtype=dtype)
        sets = sets_of(one)
        for task in TASKS:
            mine, theirs = (p.results(p.calls(one, task, sets)[0]()) for p in (BY_NAME["actlib"], peer))
            program.check(theirs, mine)
            assert len(mine) == {"value": 1, "gradient": one.inputs, "value and gradient": 1 + one.inputs}[task]


def test_another_function_is_no_peer():
    one = case("silu")
    sets = sets_of(one)
    silu = BY_NAME["torch"].calls(one, "value", sets)[0]()
    gelu = BY_NAME["torch"].calls(case("gelu"), "value", sets)[0]()
    with pytest.raises(ValueError, match="not those of actlib"):
        program.check([gelu], [silu])
    with pytest.raises(ValueError, match="not those of actlib"):
        program.check([torch.full_like(silu, math.nan)], [silu])


def test_a_contender_that_fails_is_taken_down_and_the_others_go_on():
    def broken(_):
        def function(*_):
            raise RuntimeError("no kernel\nfor this")

        return function

    failed = []
    peers = [Peer("broken", "torch", broken), BY_NAME["actlib"]]
    rows = list(program.timed(case("tanh", tasks=("value",)), peers, 2, failed))
    assert rows[0]["ratio to copy"].keys() == {"copy", "actlib"}
    assert [(f["contender"], f["task"], f["reason"]) for f in failed] == [
        ("broken", "value", "RuntimeError: no kernel")
    ]


def test_a_case_that_fails_later_is_taken_down():
    def tired(_):
        calls = itertools.count()

        def function(x):
            if next(calls) > 2:
                raise RuntimeError("out of memory")
            return x

        return function

    failed = []
    peers = [Peer("tired", "torch", tired, takes=1)]
    assert list(program.timed(case("tanh", tasks=("value",)), peers, 2, failed)) == []
    assert [(f["contender"], f["reason"]) for f in failed] == [("all", "RuntimeError: out of memory")]


class Spoiling(torch.autograd.Function):
    """x^2, with a gradient that is written over x where autograd does not see it, as some kernels do."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return x.data.mul_(2 * g)


def test_a_contender_that_spoils_its_inputs_gets_fresh_ones(monkeypatch):
    monkeypatch.setattr(program, "check", lambda *_: None)  # it is no tanh
    one = case("tanh")
    before = [(xs[0].clone(), g) for xs, g in program.sets_of(one)]
    seen = []

    def function(_):
        return lambda x: seen.append(x.detach().clone()) or Spoiling.apply(x)

    failed = []
    peers = [Peer("spoiling", "torch", function, spoils_inputs=True), BY_NAME["actlib"]]
    rows = list(program.timed(one, peers, 2, failed))
    assert failed == []
    assert [row["task"] for row in rows if "spoiling" in row["ratio to copy"]] == list(TASKS)
    after = program.sets_of(one)
    assert all(torch.equal(x, xs[0]) for (x, _), (xs, _) in zip(before, after, strict=True))
    assert sum(torch.equal(x, before[0][0]) for x in seen) > len(TASKS)


# Kept for backward, in numbers an element: all, those of the inputs, those of the output.
KEPT = {
    ("sigmoid", "torch"): (1, 0, 1),
    ("sigmoid", "actlib"): (1, 1, 0),
    ("silu", "torch"): (1, 1, 0),
    ("relu", "torch"): (1, 0, 1),
    ("swiglu", "torch"): (3, 2, 0),  # the composition keeps the activated gate, too
    ("swiglu", "actlib"): (2, 2, 0),
    ("softmax", "torch"): (1, 0, 1),
    ("softmax", "actlib"): (1, 1, 0),
}


@pytest.mark.parametrize(("function", "peer"), KEPT)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_bytes_kept_for_backward(function, peer, dtype):
    one = case(function, dtype=dtype)
    kept = BY_NAME[peer].kept(one, sets_of(one)[0][0])
    numbers = [kept[name] / one.elements / dtype.itemsize for name in ("kept", "kept inputs", "kept output")]
    assert tuple(numbers) == KEPT[function, peer]


def test_a_tensor_kept_twice_counts_once():
    one = case("silu")
    twice = Peer("twice", "torch", lambda _: lambda x: x * x)
    assert twice.kept(one, sets_of(one)[0][0])["kept"] == one.elements * 4


@on_linux
@pytest.mark.parametrize("before", pages.available())
def test_peak_counts_all_threads(before):
    code = """
import sys, threading, torch
from benchmarks import memory, pages
pages.choose(sys.argv[1])
kept = [torch.ones(n << 18) for n in range(1, 20)][::3]  # with gaps between them
x = torch.randn(1 << 22, requires_grad=True)
def in_thread():
    thread = threading.Thread(target=lambda: torch.ones(3 << 22))
    thread.start()
    thread.join()
tasks = [lambda: torch.autograd.grad(torch.sigmoid(x), x, x.detach()), in_thread, lambda: torch.ones(1 << 22).add_(1)]
for task in tasks:
    print(memory.peak(task, torch.device("cpu")) / x.nbytes)
"""
    peaks = list(map(float, python(code, before).split()))
    assert peaks == pytest.approx([2, 3, 1], abs=0.05)


@pytest.mark.parametrize(
    ("function", "expected"), [("tanh", (1, 1.5, 2.5)), ("swiglu", (1.5, 2.5, 4)), ("softmax", (1, 1.5, 2.5))]
)
def test_least_bytes_moved(function, expected):
    assert tuple(map(case(function).bytes_to_copy, TASKS)) == expected


def test_contenders_take_turns_in_alternating_order(monkeypatch):
    monkeypatch.setattr(timing, "fitting", lambda _: 2)
    log = []
    tasks = {name: [lambda n=name, i=i: log.append(f"{n}{i}") for i in range(2)] for name in "ab"}
    times = timing.interleaved(tasks, 2, CPU, {"b": lambda: log.append("fresh b")})
    # Each turn is a call that does not count and two that do, on one set of inputs after the other.
    turns = [["a0", "a1", "a0"], ["fresh b", "b0", "b1", "b0"], ["fresh b", "b1", "b0", "b1"], ["a1", "a0", "a1"]]
    assert log[-14:] == [*itertools.chain(*turns)]
    assert {name: len(values) for name, values in times.items()} == {"a": 2, "b": 2}


class Clock:
    """Time that passes only where a call takes some."""

    def __init__(self, monkeypatch):
        self.now, self.waited = 0.0, 0.0
        monkeypatch.setattr(timing.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(timing, "waiting", lambda: self.waited)

    def task(self, took, waits=lambda: 0):
        def call():
            wait = waits()
            self.now += took + wait
            self.waited += wait

        return [call]


def test_shuffled_rounds_come_back_in_reverse(monkeypatch):
    clock = Clock(monkeypatch)
    tasks = {name: clock.task(seconds) for name, seconds in {"a": 1, "b": 2, "c": 4, "d": 8}.items()}
    turns = list(timing.turns(tasks, 12, CPU, fewest=12, shuffle=random.Random(0).shuffle))
    orders = ["".join(t.contender for t in turns[i : i + 4]) for i in range(0, len(turns), 4)]
    assert len(orders) == 12
    assert {"".join(sorted(order)) for order in orders} == {"abcd"}
    assert all(order[::-1] == back for order, back in zip(orders[::2], orders[1::2], strict=True))
    assert len(set(orders[::2])) > 3
    assert {(t.contender, t.seconds) for t in turns} == {("a", 1), ("b", 2), ("c", 4), ("d", 8)}


def test_rounds_end_early_only_after_the_fewest(monkeypatch):
    clock = Clock(monkeypatch)
    tasks = {"a": clock.task(timing.ENOUGH)}
    assert len(timing.interleaved(tasks, 50, CPU)["a"]) == timing.FEWEST
    assert len(list(timing.turns(tasks, 50, CPU, fewest=20))) == 20
    assert len(list(timing.turns(tasks, 10, CPU, fewest=20))) == 10


def test_a_turn_that_had_to_wait_is_taken_again_while_patience_lasts(monkeypatch):
    clock = Clock(monkeypatch)
    monkeypatch.setattr(timing, "fitting", lambda _: 1)
    calm = [0] * 5  # before the first round
    first = [0, 3, 0, 0.5, 0, 1, 0, 0]  # each a call that does not count, and one that does
    tasks = {"a": clock.task(1, waits=iter(calm + first).__next__)}
    fresh = []
    (turn,) = timing.turns(tasks, 1, CPU, {"a": lambda: fresh.append(1)}, patience=1e3)
    assert (turn.seconds, turn.waited) == (1, 0)
    assert len(fresh) == 4  # one for each time that it was taken
    tasks = {"a": clock.task(1, waits=iter(calm + first).__next__)}
    (turn,) = timing.turns(tasks, 1, CPU, patience=4)
    assert (turn.seconds, turn.waited) == (1.5, pytest.approx(1 / 3))  # the one that waited least of three
    tasks = {"a": clock.task(1, waits=iter(calm + first).__next__)}
    (turn,) = timing.turns(tasks, 1, CPU)
    assert turn.seconds == 4


@on_linux
def test_the_system_tells_for_how_long_threads_waited():
    need(timing.waiting() is not None, "the system does not count how long threads wait for a processor")
    code = """
import os, threading, zlib
from benchmarks import timing
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # for which both threads compete
data, done = bytes(1 << 27), threading.Event()
def work():
    while not done.is_set():
        zlib.crc32(data)
other = threading.Thread(target=work)
before = timing.waiting()
other.start()
zlib.crc32(data)
print(timing.waiting() - before)
done.set()
other.join()
"""
    assert float(python(code)) > 0


def needs_glibc():
    need(pages.FRESH in pages.available(), "memory is reused or fresh at will with the C library glibc alone")


def test_page_faults_end_where_memory_is_reused_and_not_where_it_is_fresh():
    needs_glibc()
    code = """
import sys, torch
from benchmarks import pages
pages.choose(sys.argv[1])
torch.set_num_threads(1)
x = torch.randn(1 << 22)
for _ in range(10):
    print(pages.faults_of(lambda: (torch.relu(x), torch.tanh(x))))
"""
    reused, fresh = ([int(n) for n in python(code, mode).split()][4:] for mode in ("reused", "fresh"))
    assert min(reused) == 0
    assert min(fresh) >= 2 * (4 << 22) / (2 << 20)  # no page that a system maps by itself is larger than 2 MiB
    assert max(reused) < max(fresh)


def test_fresh_memory_does_not_come_from_gaps_in_the_heap():
    needs_glibc()
    code = """
import torch
from benchmarks import pages
pieces = [torch.ones(1 << 12) for _ in range(400)]  # small enough for the heap, and with gaps for larger ones
del pieces[50:350]
pages.choose("fresh")
x = torch.randn(pages.FRESH_FROM // 4)
print(min(pages.faults_of(lambda: torch.relu(x)) for _ in range(10)), pages.FRESH_FROM // os.sysconf("SC_PAGESIZE"))
"""
    faults, needed = map(int, python(f"import os\n{code}").split())
    assert faults >= needed


@pytest.mark.parametrize(
    ("mode", "error", "said"),
    [
        ("old", ValueError, "memory is reused, fresh or default, but 'old' came"),
        ("reused", pages.PagesError, "reused memory needs the C library glibc, which is not here; choose 'default'"),
    ],
)
def test_memory_that_cannot_be_had_is_refused(mode, error, said, monkeypatch):
    monkeypatch.setattr(pages, "_glibc", lambda: None)
    assert pages.available() == ("default",)
    with pytest.raises(error, match=said):
        pages.choose(mode)
    pages.choose("default")


def test_memory_that_is_not_reused_after_all_is_no_success(monkeypatch):
    needs_glibc()
    library = pages._glibc()
    other = type("Library", (), {"malloc": library.malloc, "free": library.free, "mallopt": lambda *_: 1})
    monkeypatch.setattr(pages, "_glibc", lambda: other)
    monkeypatch.setattr(pages, "faults_of", lambda _: 256)
    with pytest.raises(pages.PagesError, match="256 page faults: is another allocator preloaded"):
        pages.choose("reused", 1 << 20)
    other.mallopt = lambda *_: 0
    with pytest.raises(pages.PagesError, match=r"mallopt\(-4, 0\) failed"):
        pages.choose("reused", 1 << 20)


@pytest.mark.parametrize("name", formulas.FUNCTIONS)
def test_what_formulas_cost_is_of_the_functions_of_the_registry(name):
    x = torch.randn(1000)
    theirs, ours = formulas.CONTENDERS[name](x), formulas.CONTENDERS[f"actlib {name}"](x)
    assert torch.equal(theirs, program.ACTIVATIONS[name].torch(x))
    torch.testing.assert_close(theirs, ours)


def test_a_copy_makes_as_many_results_as_a_function():
    x, g = torch.randn(2, 1024)
    one = case("relu")
    (call,) = formulas.calls_of("copy", one, "value and gradient", x, g)
    assert all(map(torch.equal, call(), (x, g)))
    (call,) = formulas.calls_of("relu", one, "value and gradient", x, g)
    assert all(map(torch.equal, call(), (x.relu(), g * (x > 0))))
    (call,) = formulas.calls_of("copy", one, "value", x, g)
    assert torch.equal(call(), x)
    assert call().data_ptr() != x.data_ptr()


def test_what_formulas_cost_is_kept_round_by_round_and_shown(tmp_path):
    arguments = ["--formulas", "--elements", 16384, 256, "--rounds", 2, "--threads", 1, "--patience", 0]
    code = "import sys; from benchmarks.__main__ import main; main(sys.argv[1:])"
    output = python(code, *arguments, "--results", tmp_path)
    found = costs.formula_costs(tmp_path)
    assert (found.threads, found.rounds, found.elements) == (1, 2, [256, 16384])
    assert found.device.endswith(", 1 threads")
    assert found.functions == list(formulas.CONTENDERS)
    assert tuple(found.pages) == pages.available()
    for mode in found.pages:
        names = formulas.CONTENDERS if mode == found.pages[0] else formulas.FEW
        assert found.sizes(mode) == ([16384] if mode == "fresh" else [256, 16384])  # 1 KiB is never fresh
        for name, size, task in itertools.product(names, found.sizes(mode), found.tasks):
            assert len(found.seconds(name, size, task, mode)) == 2
    assert f"Medians of 2 rounds on {found.device}" in output
    assert "value and gradient, " in output
    assert ("Memory cannot be held for reuse here" in output) == ("reused" not in found.pages)


def test_sets_of_inputs_are_apart_and_equal():
    sets = timing.input_sets(2, (4, 256), torch.bfloat16, CPU)
    assert 1 < len(sets) <= timing.MOST_SETS
    tensors = [t for xs, g in sets for t in (*xs, g)]
    assert len({t.data_ptr() for t in tensors}) == 3 * len(sets)
    for xs, g in sets[1:]:
        assert all(map(torch.equal, (*xs, g), (*sets[0][0], sets[0][1])))


def entry(function, task, elements, ratio, quotients=None, dtype="float32", **more):
    three = lambda value: [value * 0.9, value, value * 1.1]
    return {
        "function": function,
        "dtype": dtype,
        "elements": elements,
        "task": task,
        "bytes to copy": 2.5,
        "ratio to copy": {"copy": [1, 1, 1], "actlib": three(ratio)},
        "quotients": {o: {n: three(v) for n, v in q.items()} for o, q in (quotients or {}).items()},
        **more,
    }


def bars_of(rows, *, gpu):
    return {(b["bar"], b["where"]): b for b in bars.bars(rows, gpu=gpu)}


def rows_of_a_cpu(eager, compiled, size=2**22):
    """The rows of the bars, where not all contenders are as fast as each other: the time over torch's by function."""
    task = "value and gradient"
    over = {
        f: {
            "actlib": {"torch": eager.get(f, 0.5)},
            "actlib compiled": {"torch": compiled.get(f, 0.8), "torch compiled": 0.5},
        }
        for f in IN_DEPTH
    }
    return [
        *(
            entry(f, task, size, 3, quotients, dtype, **({"row": 1024} if f == "softmax" else {}))
            for f, quotients in over.items()
            for dtype in ("float32", "bfloat16")
        ),
        entry("mish", task, size, 3, {"actlib": {"torch": 99.0}}),  # no function of the bars
        entry("softmax", task, size, 3, {"actlib": {"torch": 99.0}}, row=128),  # nor these rows
    ]


WHERE = "value and gradient, 4 Mi elements, both types"


def test_bars_of_a_cpu():
    rows = rows_of_a_cpu({"tanh": 4.0, "swiglu": 0.25}, {"tanh": 0.8 / 1.25, "silu": 1.0})
    found = bars_of(rows, gpu=False)
    mean = found["time over torch's, geometric mean", WHERE]
    expected = round(0.5 * 4 ** (1 / len(IN_DEPTH)), 2)
    assert (mean["figure"], mean["limit"], mean["met"], mean["cases"]) == (expected, 0.7, True, 2 * len(IN_DEPTH))
    slowest = found["time over torch's, the slowest", WHERE]
    both = {f"tanh, {d}, value and gradient": 4.0 for d in ("float32", "bfloat16")}
    assert (slowest["figure"], slowest["met"], slowest["misses"]) == (4.0, False, both)
    compiled = found["compiled: time over the better of torch's eager and compiled, geometric mean", WHERE]
    assert (compiled["figure"], compiled["limit"], compiled["met"]) == (0.8, 0.8, True)
    compiled = found["compiled: time over the better of torch's eager and compiled, the slowest", WHERE]
    assert (compiled["figure"], compiled["limit"], compiled["met"]) == (1.0, 1.1, True)
    cached = "time over torch's, the slowest", WHERE.replace("4 Mi", "256 Ki")
    assert found[cached]["met"] is None
    found = bars_of([*rows, *rows_of_a_cpu({"silu": 1.25}, {}, 2**18)], gpu=False)
    assert (found[cached]["figure"], found[cached]["limit"], found[cached]["met"]) == (1.25, 1.2, False)


@pytest.mark.parametrize(("elements", "size"), [(16, "16"), (1024, "1 Ki")])
def test_bars_of_calls(elements, size):
    quotients = {f: {"actlib": {"torch": 8.0 if f == "tanh" else 2.0}} for f in IN_DEPTH}
    rows = [
        entry(f, "value", elements, 1, q, dtype, **({"row": elements} if f == "softmax" else {}))
        for f, q in quotients.items()
        for dtype in ("float32", "bfloat16")
    ]
    found = bars_of(rows, gpu=False)
    mean = found["time of a call over torch's, geometric mean", f"value, {size} elements"]
    assert (mean["figure"], mean["limit"], mean["met"]) == (round(2 * 4 ** (1 / len(IN_DEPTH)), 2), 3.0, True)
    others = [b for (_, where), b in found.items() if "value and gradient, " in where and where.endswith("elements")]
    assert {b["met"] for b in others} == {None}


def test_training_steps_are_measured_and_have_a_bar():
    rows = list(steps.rows(IN_STEPS, 2, 0))
    assert [(r["function"], r["elements"], r["task"]) for r in rows] == [(f, 2048, "training step") for f in IN_STEPS]
    assert all(r["quotients"]["actlib"].keys() == {"torch"} for r in rows)
    where = "training step, four layers of 64 units, a batch of 32"
    found = bars_of(rows, gpu=False)["time over torch's, the slowest", where]
    assert (found["cases"], found["unmeasured"]) == (3, [])


def test_a_bar_is_not_met_where_a_case_was_not_measured(capsys):
    rows = rows_of_a_cpu({"tanh": 4.0}, {})
    del rows[0]["quotients"]["actlib"]["torch"]
    del rows[0]["quotients"]["actlib compiled"]["torch compiled"]
    found = bars_of(rows, gpu=False)
    left_out = ["sigmoid, float32, value and gradient"]
    slowest = found["time over torch's, the slowest", WHERE]
    assert (slowest["met"], slowest["unmeasured"]) == (False, left_out)
    compiled = found["compiled: time over the better of torch's eager and compiled, geometric mean", WHERE]
    assert (compiled["figure"], compiled["met"], compiled["unmeasured"]) == (0.8, None, left_out)
    report.show_bar(slowest)
    report.show_bar(compiled)
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert [line.split("  ")[0] for line in lines] == [
        "MISSED",
        "4.00 tanh, float32, value and gradient",
        "4.00 tanh, bfloat16, value and gradient",
        "not measured: sigmoid, float32, value and gradient",
        "incomplete",
        "not measured: sigmoid, float32, value and gradient",
    ]


def test_bars_of_a_gpu():
    rows = [
        entry("tanh", "value", 2**26, 1.0, {"actlib": {"torch": 0.5}}) | {"bytes to copy": 0.95},
        entry("mish", "value", 2**26, 1.0, {"actlib": {"torch": 1.02}}) | {"bytes to copy": 0.85},
        entry("softmax", "value", 2**26, 1.0, row=128) | {"bytes to copy": 0.86},
        entry("softmax", "value", 2**26, 1.0, row=1024) | {"bytes to copy": 0.84},
        entry("tanh", "value", 2**10, 1.0, {"actlib": {"torch": 2.5}}),
    ]
    for dtype in ("float32", "bfloat16"):
        rows.append(entry("swiglu", "value and gradient", 2**26, 1.0, {"actlib": {"torch": 0.5}}, dtype))
        quotients = {"actlib": {"torch": 0.5, "liger": 1.004}}
        rows += [entry(f, "gradient", 2**26, 2.5, quotients, dtype) for f in ("swiglu", "geglu")]
        rows += [entry("softmax", "gradient", 2**26, 2.5, quotients, dtype, row=n) for n in (128, 1024, 8192, 65536)]
    found = bars_of(rows, gpu=True)
    where = "value, 64 Mi elements"
    share = found["share of the copy's bandwidth", where]
    assert (share["figure"], share["met"], share["misses"]) == (0.85, False, {"mish, float32, value": 0.85})
    assert len(share["unmeasured"]) == 2 * 26 - 2
    rows = found["rows: share of the copy's bandwidth", where]
    assert rows["misses"] == {"softmax in rows of 1,024, float32, value": 0.84}
    assert found["time over that of torch", where]["misses"] == {"mish, float32, value": 1.02}
    liger = found["time over that of liger", "gradient, 64 Mi elements"]
    assert (liger["figure"], liger["met"]) == (1.0, True)  # as it is shown
    assert found["time over that of torch compiled", where]["met"] is None
    faster = found["SwiGLU: times as fast as torch's composition", "value and gradient, 64 Mi elements"]
    assert (faster["figure"], faster["met"]) == (2, True)
    call = found["time of a call over torch's", "value, 1 Ki elements"]
    assert (call["figure"], call["met"]) == (2.5, None)
    assert "softmax in rows of 1,024, bfloat16, value" in call["unmeasured"]


def test_named_functions_join_results_of_the_same_code(tmp_path):
    made = {"device": "a CPU", "threads": 1, "versions": {"torch": "2"}, "rounds": 5}
    nothing = {"failed": [], "memory": []}
    file = tmp_path / "a.json"
    kept = {"function": "tanh", "dtype": "float32", "elements": 8, "contender": "torch", "peak": 1}
    broken = {"function": "silu", "dtype": "float32", "elements": 8, "task": "value", "contender": "jax", "reason": "?"}
    old = [entry("silu", "value", 8, 1.0), entry("tanh", "value", 8, 1.0)]
    report.write(made | {"failed": [broken], "memory": [kept], "rows": old}, file)
    new = made | nothing | {"rows": [entry("silu", "value", 8, 2.0)]}
    both = report.merged(new, file)
    assert {r["function"]: r["ratio to copy"]["actlib"][1] for r in both["rows"]} == {"silu": 2.0, "tanh": 1.0}
    assert both["memory"] == [kept]
    assert both["failed"] == []
    other = new | {"versions": {"torch": "3"}}
    assert report.merged(other, file) == other
    assert report.merged(new, tmp_path / "none.json") == new


def test_a_short_run_covers_the_registry_and_a_full_one_all_sizes():
    arguments = {"names": [], "elements": None, "full": False, "no_compile": False}
    namespace = type("Namespace", (), arguments)
    short = program.planned(namespace, CPU)
    read = {(c.function, c.dtype, c.elements) for c in short if c.row in (None, 1024)}
    sizes = (program.bars.FEW, *program.SHORT)
    asked = {(f, d, n) for f in program.ACTIVATIONS for d in program.DTYPES for n in sizes}
    assert read == {case for case in asked if "softmax" not in case[0] or case[2] != program.bars.FEW}
    assert {c.row for c in short if c.function == "softmax"} == {program.bars.FEW, *program.ROWS}
    assert {c.function for c in short if c.compiled} == set(IN_DEPTH)
    namespace.full = True
    full = program.planned(namespace, torch.device("cuda"))
    assert {c.elements for c in full} == {2**n for n in range(10, 27, 2)}
    assert {c.row for c in full if c.function == "log_softmax"} == set(program.ROWS)


def test_memory_of_a_peer_without_the_function_is_none():
    one = case("relu_squared")
    assert memory.measured(one, BY_NAME["torch"], sets_of(one)) == []


def test_layers_are_of_equal_width_or_of_equal_parameters():
    found = layers.contenders(96)
    weights = {name: sum(p.numel() for p in layer.parameters()) for name, layer in found.items()}
    assert weights["swiglu"] == weights["actlib swiglu"] == weights["gelu"] == weights["relu"] == 8 * 96**2
    assert weights["swiglu wide"] == 1.5 * weights["relu"]
    x, g = torch.randn(2, 5, 96)
    ours = found["actlib swiglu"]
    ours.load_state_dict(found["swiglu"].state_dict())
    for task in formulas.TASKS:
        (composed,), (fused,) = (layers.calls_of(layer, task, x, g) for layer in (found["swiglu"], ours))
        torch.testing.assert_close(composed(), fused())


def test_what_layers_cost_is_kept_round_by_round(tmp_path):
    arguments = ["--layers", "--elements", 6, "--rounds", 2, "--threads", 1, "--patience", 0]
    code = "import sys; from benchmarks.__main__ import main; main(sys.argv[1:])"
    output = python(code, *arguments, "--results", tmp_path)
    found = costs.formula_costs(tmp_path)
    assert (found.rounds, found.elements, found.pages) == (2, [6], [pages.available()[0]])
    assert found.functions == list(layers.contenders(6))
    assert found.noise_factor(6, "value and gradient") >= 1
    assert f"Medians of 2 rounds on {found.device}" in output


def test_what_layers_are_asked_for_can_be_measured(capsys):
    for arguments in (["--layers", "--elements", "64"], ["--layers", "--formulas"], ["--layers", "tanh"]):
        with pytest.raises(SystemExit):
            program.main(arguments)
    told = capsys.readouterr().err
    assert "8/3 of 64 is no whole number" in told
    assert "one after the other" in told
    assert "with --layers go" in told
