"""The project's commands, on every system, with nothing installed but Python: `python tasks.py book`.

Commands make a virtual environment first, `.venv`, from pinned versions, and again when these have changed.
"""

import sys

if sys.version_info < (3, 11):
    sys.exit(
        "actlib needs Python 3.11 or newer, but this is {}.{}; name another one: python3.12 tasks.py book, "
        "or make PYTHON=python3.12 book".format(*sys.version_info)
    )

import importlib.util
import inspect
import os
import pathlib
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent
VENV = ROOT / ".venv"
COMMANDS = {}
QUIET = ("--quiet", "--disable-pip-version-check")

LAB = ROOT / ".venv-lab"
RENDERS_MYST = ("jupyterlab==4.5.11", "jupyterlab-myst==2.7.0")  # from 4.6 on it does not load jupyterlab-myst 2.7
LOWEST, NEWEST = "lowest", "newest"
NOT_OF_THE_PACKAGE = (
    *("test_book.py", "test_site.py", "test_explorer.py", "test_typed_in_javascript.py", "test_live.py"),
    *("test_movable.py", "test_panels.py", "test_paper.py", "test_references.py", "test_terms.py"),
    *("test_benchmarks.py", "test_float32.py", "test_processors.py"),
)
"""Tests that need more than the package and what its own tests need, such as the versions that are pinned."""

CUDA = (
    *("cuda-bindings", "cuda-pathfinder", "cuda-toolkit", "nvidia-cublas", "nvidia-cuda-cupti", "nvidia-cuda-nvrtc"),
    *("nvidia-cuda-runtime", "nvidia-cudnn-cu13", "nvidia-cufft", "nvidia-cufile", "nvidia-curand", "nvidia-cusolver"),
    *("nvidia-cusparse", "nvidia-cusparselt-cu13", "nvidia-nccl-cu13", "nvidia-nvjitlink", "nvidia-nvshmem-cu13"),
    "nvidia-nvtx",
)
"""What torch brings for GPUs, where there may be some, in the versions that fit it."""


def command(function):
    """Makes a function a command of its name; `--help` shows the first line of its docstring."""
    COMMANDS[function.__name__.replace("_", "-")] = function
    return function


@command
def book():
    """Builds the book: _build/html/index.html."""
    install()
    run(program("jupyter-book"), "build", ".", "-W", "-n", "--keep-going")
    print(f"The book: {ROOT / '_build' / 'html' / 'index.html'}")


@command
def pdf():
    """Builds the book, and prints it into one file: _build/html/activation-functions.pdf."""
    book()
    python("book/_ext/pdf.py", "_build/html")


@command
def lab():
    """Opens the chapters in JupyterLab, with terms, boxes and exercises rendered.

    JupyterLab gets a virtual environment of its own, `.venv-lab`, since what renders MyST needs an older one than the
    tests look at. The chapters run in `.venv`.
    """
    install()
    make_venv(LAB)
    python("-m", "pip", "install", *QUIET, *RENDERS_MYST, venv=LAB)
    python("-m", "ipykernel", "install", "--prefix", LAB)
    python("-m", "jupyter", "trust", *sorted((ROOT / "book").glob("*.ipynb")), venv=LAB)  # else figures stay out
    python("-m", "jupyter", "lab", ROOT / "book", venv=LAB)


@command
def test(*arguments):
    """Runs every test: package, kernels, notebooks, build, links, browser.

    What follows is for pytest. As many tests run beside each other as the machine has cores, or as the environment
    variable WORKERS says.
    """
    install()
    python("-m", "ruff", "check", ".")
    python("-m", "ruff", "format", "--check", ".")
    python("-m", "pytest", *workers(), "--no-loadscope-reorder", "--nbval", *arguments)


@command
def test_processors(*arguments):
    """Tries the book and the accuracy of the package on made-up processors; `test-processors --help` says more."""
    install()
    python("tests/processors.py", *arguments)


@command
def notebooks(folder=ROOT / "book"):
    """Runs all chapters again, or the notebooks of another folder, and stores their outputs."""
    install()
    python("-c", "import sys, tasks; tasks.execute(sys.argv[1])", pathlib.Path(folder).resolve())


@command
def measure(*arguments):
    """Measures anew, on this machine, what PyTorch's functions give: the chapters show it from where it is kept."""
    install()
    python("-m", "actlib.book.measurements", *arguments)


@command
def replicate(*first_seeds):
    """Runs the chapters at other first seeds, lists the verdicts that come out otherwise, and keeps what it finds."""
    install()
    python("-m", "actlib.book.replication", "book", *first_seeds)


@command
def bench(*arguments):
    """Compares speed and memory; `bench --help` says what may follow."""
    install()
    python("-m", "benchmarks", *arguments)


@command
def gpu(*arguments):
    """Runs all that needs a GPU, in some minutes: tests on real kernels, then a short benchmark, which is kept.

    Where the Python that runs this has torch, nothing is installed, and what it lacks besides is done without as far as
    that can be. What follows is for the benchmark, in place of the sizes of the bars.
    """
    here = importlib.util.find_spec("torch") is not None
    if not here:
        install()
    program = sys.executable if here else interpreter(VENV)
    try:
        run(program, "-c", "import sys, torch; sys.exit(not torch.cuda.is_available())")
    except subprocess.CalledProcessError:
        raise UsageError("torch finds no GPU here, and there is nothing else to run: make test has the rest") from None
    side_by_side = workers("worksteal") if not here or importlib.util.find_spec("xdist") else ()
    run(program, "-m", "pytest", *side_by_side, "-m", "gpu", *GPU_TESTS)
    run(program, "-m", "benchmarks", "--device", "cuda", *(arguments or SHORT_BENCHMARK))


GPU_TESTS = tuple(f"tests/test_{name}.py" for name in ("any_formula", "exponents", "kernels", "packed", "softmax"))
"""Where tests are marked `gpu`."""

SHORT_BENCHMARK = ("--no-compile", "--elements", str(2**10), str(2**26))
"""Every function at the sizes of the bars; what torch compiles takes long."""


@command
def test_versions(which, *arguments):
    """Tests the package with the lowest or the newest versions that it allows: `test-versions lowest`.

    These get a virtual environment of their own, `.venv-lowest` or `.venv-newest`. What follows is for pytest. uv
    chooses the versions; which build of torch, says its environment variable UV_TORCH_BACKEND.
    """
    if which not in (LOWEST, NEWEST):
        raise UsageError(f"test-versions takes {LOWEST} or {NEWEST}, but {which!r} came")
    venv = ROOT / f".venv-{which}"
    make_venv(venv)
    python("-m", "pip", "install", *QUIET, "uv", venv=venv)
    resolution = ("--resolution", "lowest-direct" if which == LOWEST else "highest", "--upgrade")
    uv = ("-m", "uv", "pip", "install", "--quiet", "--python", interpreter(venv))
    python(*uv, *resolution, "--editable", ".[check]", venv=venv)
    python("-m", "pytest", *workers(), *(arguments or package_tests()), venv=venv)


def package_tests():
    """Arguments of pytest: the tests of the package."""
    return (*(f"--ignore=tests/{name}" for name in NOT_OF_THE_PACKAGE), "tests")


@command
def requirements():
    """Pins every dependency again, for maintainers: requirements.txt from pyproject.toml."""
    install()
    python("-m", "pip", "install", *QUIET, "uv")
    unpinned = [word for package in CUDA for word in ("--no-emit-package", package)]
    options = ("--extra", "test", "--universal", "--no-annotate", "--upgrade", "--output-file", "requirements.txt")
    name = ("--custom-compile-command", "python tasks.py requirements")
    python("-m", "uv", "pip", "compile", "pyproject.toml", *options, *name, *unpinned)


@command
def install():
    """Makes .venv from requirements.txt, unless it is there and new enough, as other commands do first."""
    stamp = VENV / ".installed"
    sources = [ROOT / "requirements.txt", ROOT / "pyproject.toml"]
    if stamp.exists() and all(source.stat().st_mtime <= stamp.stat().st_mtime for source in sources):
        return
    make_venv(VENV)
    python("-m", "pip", "install", *QUIET, "-r", "requirements.txt")
    python("-m", "pip", "install", *QUIET, "--no-deps", "--editable", ".")
    stamp.touch()


@command
def clean():
    """Removes all that these commands make in this folder."""
    made = [ROOT / name for name in ("_build", ".pytest_cache", ".ruff_cache", "actlib.egg-info")]
    for folder in (*made, VENV, LAB, *(ROOT / f".venv-{which}" for which in (LOWEST, NEWEST))):
        if folder.exists():
            shutil.rmtree(folder)


def workers(dist="loadscope"):
    """Options of pytest: how many tests run beside each other, and how they are shared out."""
    return ("-n", os.environ.get("WORKERS", "auto"), "--dist", dist)


def make_venv(venv):
    """Makes a virtual environment, unless it is there."""
    if interpreter(venv).exists():
        return
    try:
        run(sys.executable, "-m", "venv", venv)
    except subprocess.CalledProcessError:
        shutil.rmtree(venv, ignore_errors=True)  # it would be half of one
        raise UsageError(
            f"{sys.executable} makes no virtual environment; on Debian and Ubuntu, apt install python3-venv helps"
        ) from None


def interpreter(venv):
    """The Python of a virtual environment."""
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def program(name):
    """A program of the virtual environment."""
    return interpreter(VENV).with_name(name + (".exe" if os.name == "nt" else ""))


def python(*arguments, venv=VENV, **options):
    """Runs the Python of a virtual environment."""
    return run(interpreter(venv), *arguments, **options)


def run(*arguments, **options):
    """Runs a program in the project's folder; Python's text is UTF-8 there, and figures are drawn without a screen.

    Raises:
        subprocess.CalledProcessError: It failed.
    """
    environment = os.environ | {"PYTHONUTF8": "1", "MPLBACKEND": "agg"}
    options = {"cwd": ROOT, "env": environment, "encoding": "utf-8"} | options
    return subprocess.run([str(a) for a in arguments], check=True, **options)


def execute(folder):
    """Runs the notebooks of a folder, and stores outputs, but nothing that differs between runs or machines.

    It needs nbclient, which the virtual environment has.
    """
    import nbclient
    import nbformat

    from actlib.book import verdicts

    for path in sorted(pathlib.Path(folder).glob("*.ipynb")):
        again = True
        while again:
            notebook = nbformat.read(path, nbformat.NO_CONVERT)
            metadata = dict(notebook.metadata)
            nbclient.execute(notebook, cwd=path.parent, timeout=None, record_timing=False, coalesce_streams=True)
            notebook.metadata = metadata
            path.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8", newline="\n")
            print(path, flush=True)
            if path.parent != ROOT / "book":
                break
            before = verdicts.FILE.read_bytes()
            verdicts.store(path.parent)  # which later chapters look back on, and one that does so on itself, too
            again = verdicts.FILE.read_bytes() != before and any(
                "verdicts.stored()" in c.source for c in notebook.cells
            )


class UsageError(Exception):
    """What was asked for cannot be done; the message says what can."""


def usage(name):
    """How a command is called, on one line."""
    parameters = inspect.signature(COMMANDS[name]).parameters.values()
    places = [p.name.upper() if p.default is p.empty else f"[{p.name.upper()}]" for p in parameters]
    places = ["[ARGUMENT ...]" if p.kind is p.VAR_POSITIONAL else t for p, t in zip(parameters, places, strict=True)]
    return " ".join(["python tasks.py", name, *places])


def main(arguments):
    """Runs a command, and returns the exit status."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__)
        for name, function in COMMANDS.items():
            print(f"  {name:16}{function.__doc__.splitlines()[0]}")
        return 0 if arguments else 2
    name, *rest = arguments
    try:
        if name not in COMMANDS:
            raise UsageError(f"the commands are {', '.join(COMMANDS)}, but {name!r} came")
        try:
            inspect.signature(COMMANDS[name]).bind(*rest)
        except TypeError:
            raise UsageError(f"expected is {usage(name)!r}, but {' '.join(arguments)!r} came") from None
        COMMANDS[name](*rest)
    except UsageError as error:
        print(f"tasks.py: {error}", file=sys.stderr)
        return 2
    except subprocess.CalledProcessError as error:
        print(f"tasks.py: {name} stopped: {' '.join(error.cmd)} failed", file=sys.stderr)
        return error.returncode
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
