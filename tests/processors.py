"""The processors that the book and the accuracy of the package are tried on, beside the machine's own.

    python tests/processors.py                    all of them: every notebook, and the accuracy of every function
    python tests/processors.py baseline           one, or several
    python tests/processors.py baseline --only book/02_tanh.ipynb tests/test_accuracy.py

A processor is made up from what this one has: libraries are told to leave instructions out, and so is the compiler of
our kernels. The last one changes bits instead, in all that PyTorch computes, as no library's setting does: whatever
survives it owes nothing to the rounding of some machine.
"""

import argparse
import dataclasses
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence

TESTS = pathlib.Path(__file__).parent
ROOT = TESTS.parent
WHAT = ["book", "tests/test_accuracy.py", "tests/test_registry.py", "tests/test_softmax.py"]
"""What is run on each: the notebooks, and the bars of accuracy."""


@dataclasses.dataclass(frozen=True)
class Processor:
    """How a processor is made up.

    Attributes:
        variables: What libraries are told, in the environment.
        level: Our kernels are compiled for this level of x86-64 and no more; none for the machine's own.
        seed: Of the changed last bits; 0 for none.
    """

    variables: Mapping[str, str]
    level: int | None = None
    seed: int = 0

    def environment(self, folder: pathlib.Path) -> dict[str, str]:
        """The environment of a process on it; the folder takes what the notebooks' kernels read when they start."""
        startup = folder / "profile_default" / "startup"
        startup.mkdir(parents=True, exist_ok=True)
        (startup / "processor.py").write_text("import processors\n\nprocessors.become()\n", encoding="utf-8")
        path = os.pathsep.join([str(TESTS), str(ROOT), os.environ.get("PYTHONPATH", "")])
        made_up = {"ACTLIB_TEST_LEVEL": str(self.level or ""), "ACTLIB_TEST_SEED": str(self.seed)}
        return {**os.environ, **self.variables, **made_up, "PYTHONPATH": path, "IPYTHONDIR": str(folder)}


PROCESSORS = {
    "baseline": Processor(
        {
            "ATEN_CPU_CAPABILITY": "default",
            "ONEDNN_MAX_CPU_ISA": "SSE41",
            "MKL_CBWR": "COMPATIBLE",
            "OPENBLAS_CORETYPE": "Nehalem",
            "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR",
            "OMP_NUM_THREADS": "1",
        },
        level=2,
    ),
    "AVX2, four threads": Processor(
        {
            "ATEN_CPU_CAPABILITY": "avx2",
            "ONEDNN_MAX_CPU_ISA": "AVX2",
            "MKL_CBWR": "AVX2",
            "OPENBLAS_CORETYPE": "Haswell",
            "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
            "OMP_NUM_THREADS": "4",
            "MKL_DYNAMIC": "FALSE",  # which would take no more threads than there are cores
        },
        level=3,
    ),
    "AVX-512": Processor(
        {
            "ATEN_CPU_CAPABILITY": "avx512",
            "ONEDNN_MAX_CPU_ISA": "AVX512_CORE",
            "MKL_CBWR": "COMPATIBLE",
            "OPENBLAS_CORETYPE": "SkylakeX",
            "NPY_DISABLE_CPU_FEATURES": "AVX512_ICL AVX512_SPR",
        },
        level=4,
    ),
    "other last bits": Processor({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}, seed=1),
}

# What each level of x86-64 adds, in LLVM's words.
_LEVELS = {
    2: "64bit cmov cx8 cx16 fxsr mmx sse sse2 sse3 ssse3 sse4.1 sse4.2 popcnt sahf crc32",
    3: "avx avx2 bmi bmi2 f16c fma lzcnt movbe xsave",
    4: "avx512f avx512bw avx512cd avx512dq avx512vl",
}


def become() -> None:
    """Makes this process one on the processor that the environment names; before actlib is imported."""
    if level := os.environ.get("ACTLIB_TEST_LEVEL"):
        import llvmlite.binding as llvm

        names = " ".join(words for number, words in _LEVELS.items() if number <= int(level)).split()
        features = llvm.get_host_cpu_features()
        for name in features:
            features[name] = features[name] and name in names
        llvm.get_host_cpu_features = lambda: features
        llvm.get_host_cpu_name = lambda: f"x86-64-v{level}"
    if (seed := int(os.environ.get("ACTLIB_TEST_SEED") or 0)) > 0:
        import last_bits

        last_bits.install(seed)


def missing(processor: Processor) -> str:
    """Why a processor cannot be made up here; empty if it can."""
    if not processor.level:
        return ""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return f"this machine is {platform.machine()}, not x86-64"
    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features()
    needed = " ".join(words for number, words in _LEVELS.items() if number <= processor.level).split()
    lacking = [name for name in needed if not features.get(name)]
    return f"this processor lacks {', '.join(lacking)}" if lacking else ""


def run(name: str, what: Sequence[str] = WHAT, workers: str = "auto", *, quiet: bool = False) -> tuple[int, str]:
    """Runs notebooks and tests on a processor of the table; gives pytest's exit code, and its output if quiet."""
    options = ["--nbval", "-p", "processors", "-p", "no:cacheprovider", "--no-header", "-q", "-n", workers]
    options += ["--dist", "loadscope", "--no-loadscope-reorder"] if workers != "0" else []
    with tempfile.TemporaryDirectory() as folder:
        environment = PROCESSORS[name].environment(pathlib.Path(folder))
        command = [sys.executable, "-m", "pytest", *options, *what]
        done = subprocess.run(
            command,
            env={k: v for k, v in environment.items() if not k.startswith("PYTEST_")},
            cwd=ROOT,
            check=False,
            stdout=subprocess.PIPE if quiet else None,
            stderr=subprocess.STDOUT if quiet else None,
            encoding="utf-8",
        )
    return done.returncode, done.stdout or ""


def pytest_configure() -> None:
    """As a pytest plugin, `-p processors`: the workers, too, are on the processor."""
    become()


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs all that was asked for, and says how it went."""
    parser = argparse.ArgumentParser(prog="python tests/processors.py", description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="PROCESSOR", help=f"default: all of {', '.join(PROCESSORS)}")
    parser.add_argument("--only", nargs="+", metavar="PATH", default=WHAT, help="notebooks and tests (default: all)")
    parser.add_argument("--workers", default="auto", metavar="N", help="of pytest (default: one a core)")
    chosen = parser.parse_args(arguments)
    if unknown := set(chosen.names) - set(PROCESSORS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(PROCESSORS)}")
    told, failed = [], False
    for name in chosen.names or PROCESSORS:
        if why := missing(PROCESSORS[name]):
            told.append(f"{name}: left out, {why}")
            continue
        start = time.monotonic()
        code, _ = run(name, chosen.only, chosen.workers)
        failed |= code != 0
        told.append(f"{name}: {'passed' if code == 0 else 'FAILED'} in {(time.monotonic() - start) / 60:.1f} min")
    print("", *told, sep="\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
