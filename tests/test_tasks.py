"""The commands: what they refuse, what they make, on whatever system."""

import ast
import os
import pathlib
import re
import subprocess
import sys

import pytest
from conftest import ROOT

import tasks


def test_help_names_every_command_and_says_what_it_does(capsys):
    assert tasks.main(["--help"]) == 0
    shown = capsys.readouterr().out
    for name, function in tasks.COMMANDS.items():
        assert re.search(rf"^  {name} +\S", shown, re.MULTILINE)
        assert function.__doc__.splitlines()[0] in shown
    assert {"book", "test", "notebooks", "bench", "requirements", "install", "clean"} <= set(tasks.COMMANDS)


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        ([], ""),
        (["boook"], "the commands are book, .*, test, .*, but 'boook' came"),
        (["book", "x"], "expected is 'python tasks.py book', but 'book x' came"),
        (["notebooks", "a", "b"], r"expected is 'python tasks.py notebooks \[FOLDER\]', but 'notebooks a b' came"),
        (["test-versions"], r"expected is 'python tasks.py test-versions WHICH \[ARGUMENT ...\]'"),
        (["test-versions", "middle"], "takes lowest or newest, but 'middle' came"),
    ],
    ids=" ".join,
)
def test_what_is_not_understood_is_named(arguments, answer, capsys, monkeypatch):
    monkeypatch.setattr(tasks, "run", lambda *_, **__: pytest.fail("nothing may be run"))
    assert tasks.main(arguments) == 2
    assert re.search(answer, capsys.readouterr().err)


def test_starts_before_anything_is_installed():
    """With the standard library alone."""
    run = subprocess.run([sys.executable, "-I", "-S", "tasks.py", "--help"], cwd=ROOT, capture_output=True, check=True)
    assert b"tasks.py book" in run.stdout


def test_tells_an_older_python_what_is_needed():
    tree = ast.parse((ROOT / "tasks.py").read_text(encoding="utf-8"), feature_version=(3, 6))
    # It stops before the first import that an older Python might lack.
    (check,) = [i for i, node in enumerate(tree.body) if isinstance(node, ast.If) and "version_info" in ast.dump(node)]
    assert [type(node) for node in tree.body[:check]] == [ast.Expr, ast.Import]
    code = "import sys; sys.version_info = (3, 9, 2, 'final', 0); sys.argv = ['tasks.py', 'book']; import runpy; "
    code += "runpy.run_path('tasks.py', run_name='__main__')"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    assert run.returncode == 1
    assert "actlib needs Python 3.11 or newer, but this is 3.9" in run.stderr


@pytest.mark.parametrize(
    ("system", "python", "program"),
    [("posix", "bin/python", "bin/jupyter-book"), ("nt", "Scripts/python.exe", "Scripts/jupyter-book.exe")],
)
def test_programs_lie_where_each_system_has_them(system, python, program, monkeypatch):
    venv = tasks.VENV
    monkeypatch.setattr(tasks.os, "name", system)
    found = tasks.interpreter(venv), tasks.program("jupyter-book")
    monkeypatch.undo()
    assert found == (venv / python, venv / program)


@pytest.fixture
def log(monkeypatch, tmp_path):
    """What is run, where nothing is really run; the project's folder has but the files that say what is to install."""
    (tmp_path / "requirements.txt").touch()
    (tmp_path / "pyproject.toml").touch()
    lines = []

    def run(*arguments, **_):
        lines.append(" ".join(map(str, arguments)).replace(str(tmp_path) + os.sep, ""))
        if "venv" in arguments:
            python = tasks.interpreter(pathlib.Path(arguments[-1]))
            python.parent.mkdir(parents=True)
            python.touch()
        return subprocess.CompletedProcess(arguments, 0, stdout="")

    monkeypatch.setattr(tasks, "run", run)
    monkeypatch.setattr(tasks, "ROOT", tmp_path)
    monkeypatch.setattr(tasks, "VENV", tmp_path / ".venv")
    return lines


def test_installs_once_and_again_when_what_is_needed_has_changed(log, tmp_path):
    tasks.main(["install"])
    assert [line.split()[1:3] for line in log] == [["-m", "venv"], ["-m", "pip"], ["-m", "pip"]]
    assert "-r requirements.txt" in log[1]
    assert "--no-deps --editable ." in log[2]
    log.clear()
    tasks.main(["install"])
    assert log == []
    for name in ("requirements.txt", "pyproject.toml"):
        stamp = (tmp_path / ".venv" / ".installed").stat().st_mtime
        os.utime(tmp_path / name, (stamp + 10, stamp + 10))
        tasks.main(["install"])
        assert [line.split()[1:3] for line in log] == [["-m", "pip"], ["-m", "pip"]]
        os.utime(tmp_path / ".venv" / ".installed", (stamp + 20, stamp + 20))
        log.clear()


def test_tests_take_further_arguments_and_the_number_of_workers(log, monkeypatch):
    monkeypatch.setenv("WORKERS", "3")
    tasks.main(["test", "-k", "sigmoid"])
    assert [line.split()[2] for line in log[-3:]] == ["ruff", "ruff", "pytest"]
    assert "-n 3 " in log[-1]
    assert log[-1].endswith("--nbval -k sigmoid")


@pytest.mark.parametrize("xdist", [True, False])
def test_a_gpus_tests_and_benchmark_run_with_the_torch_that_is_here(xdist, log, monkeypatch):
    monkeypatch.setattr(tasks.importlib.util, "find_spec", lambda name: name == "torch" or xdist or None)
    assert tasks.main(["gpu"]) == 0
    assert all(line.startswith(sys.executable) for line in log)
    asked, tested, measured = log
    assert "is_available" in asked
    assert tested.endswith(" ".join([" -m gpu", *tasks.GPU_TESTS]))
    assert (" -n " in tested) == xdist
    assert measured.endswith("--device cuda --no-compile --elements 1024 67108864")
    log.clear()
    tasks.main(["gpu", "gelu"])
    assert log[-1].endswith("-m benchmarks --device cuda gelu")


def test_a_gpus_tests_get_an_environment_where_no_torch_is_here(log, monkeypatch):
    monkeypatch.setattr(tasks.importlib.util, "find_spec", lambda _: None)
    assert tasks.main(["gpu"]) == 0
    assert "-m pip install" in log[1]
    assert log[-1].startswith(str(pathlib.Path(".venv")))
    assert " -n " in log[-2]


def test_without_a_gpu_it_is_said_and_nothing_is_tested():
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    run = subprocess.run(
        [sys.executable, "tasks.py", "gpu"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert run.returncode == 2
    assert "torch finds no GPU here" in run.stderr
    assert run.stdout == ""


def test_what_runs_kernels_is_marked_for_a_gpu():
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *tasks.GPU_TESTS]
    command += ["-m", "gpu"]
    lines = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=True).stdout.split("\n")
    marked = {line.partition("[")[0] for line in lines if "::" in line}
    assert {line.partition("::")[0] for line in marked} == set(tasks.GPU_TESTS)
    assert "tests/test_kernels.py::test_on_a_gpu_the_kernel_is_what_runs" in marked
    assert "tests/test_kernels.py::test_registers_suffice" not in marked  # which needs no GPU, but minutes
    # All tests that ask for kernels are in these files.
    asking = {p.name for p in (ROOT / "tests").glob("test_*.py") if "by_kernel" in p.read_text(encoding="utf-8")}
    assert asking - {pathlib.Path(__file__).name} == {pathlib.Path(f).name for f in tasks.GPU_TESTS}


@pytest.mark.parametrize(("which", "resolution"), [("lowest", "lowest-direct"), ("newest", "highest")])
def test_versions_get_an_environment_of_their_own(which, resolution, log, tmp_path):
    tasks.main(["test-versions", which])
    assert log[0].endswith(f"-m venv .venv-{which}")
    assert any(f"--resolution {resolution}" in line for line in log)
    assert "pytest" in log[-1]
    assert "--ignore=tests/test_book.py" in log[-1]
    assert not (tmp_path / ".venv").exists()


def test_what_fails_ends_the_command_with_its_status(log, monkeypatch, capsys):
    def fail(*arguments, **_):
        raise subprocess.CalledProcessError(5, list(map(str, arguments)))

    tasks.main(["install"])
    monkeypatch.setattr(tasks, "run", fail)
    assert tasks.main(["bench", "relu"]) == 5
    assert "-m benchmarks relu failed" in capsys.readouterr().err
    assert log


def test_no_half_of_an_environment_is_left(log, monkeypatch, tmp_path, capsys):
    def fail(*arguments, **_):
        pathlib.Path(arguments[-1], "bin").mkdir(parents=True)
        raise subprocess.CalledProcessError(1, list(map(str, arguments)))

    monkeypatch.setattr(tasks, "run", fail)
    assert tasks.main(["book"]) == 2
    assert "python3-venv" in capsys.readouterr().err
    assert not (tmp_path / ".venv").exists()
    assert log == []


def test_clean_removes_what_was_made(log, tmp_path):
    tasks.main(["install"])
    (tmp_path / "_build" / "html").mkdir(parents=True)
    tasks.main(["clean"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pyproject.toml", "requirements.txt"]
    assert log


def test_make_knows_every_command():
    names = re.search(r"^COMMANDS := (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)[1]
    assert set(names.split()) == set(tasks.COMMANDS)
