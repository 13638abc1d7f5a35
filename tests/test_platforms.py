"""What differs between systems: encodings, line ends, ways to start a process, threads, the code that LLVM makes."""

import ast
import concurrent.futures
import ctypes
import hashlib
import multiprocessing
import os
import re
import subprocess
import sys

import llvmlite.binding as llvm
import pytest
import torch
from conftest import ROOT
from formulas import ELEMENTWISE

import actlib
from actlib import ACTIVATIONS
from actlib.backends import llvm_runner, llvm_softmax

SOURCES = [
    *(ROOT / name for name in ("tasks.py",)),
    *(path for name in ("actlib", "benchmarks", "book/_ext", "tests") for path in sorted((ROOT / name).rglob("*.py"))),
]


def without_encoding(tree):
    """Lines of the calls that read or write text as the locale has it."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        keywords = {keyword.arg: keyword.value for keyword in node.keywords}
        name = getattr(node.func, "attr", getattr(node.func, "id", None))
        given = [*node.args[1:2], *([keywords["mode"]] if "mode" in keywords else [])]
        is_binary = any("b" in str(getattr(mode, "value", "")) for mode in given)
        opens = isinstance(node.func, ast.Name) and name == "open" and not is_binary
        is_text = name in ("read_text", "write_text") or opens or keywords.keys() & {"text", "universal_newlines"}
        if is_text and "encoding" not in keywords:
            yield node.lineno


def test_the_search_for_calls_without_encoding_finds_them():
    found = """
open("a")
open("a", "w", newline="")
path.read_text()
subprocess.run(command, text=True)
"""
    fine = 'open("a", "rb"), open(0, encoding="utf-8"), path.write_text(t, encoding="utf-8"), Interval.open(0, 1), f()'
    assert sorted(without_encoding(ast.parse(found))) == [2, 3, 4, 5]
    assert not list(without_encoding(ast.parse(fine)))


def test_text_has_a_named_encoding_everywhere():
    assert len(SOURCES) > 50
    found = {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES}
    assert not [f"{name}:{line}" for name, tree in found.items() for line in without_encoding(tree)]


def test_files_have_the_same_lines_on_every_system():
    assert (ROOT / ".gitattributes").read_text(encoding="utf-8") == "* text=auto eol=lf\n"
    texts = [*SOURCES, *ROOT.glob("*.*"), *(ROOT / "book").glob("*.*")]
    assert not [path.name for path in texts if path.is_file() and b"\r\n" in path.read_bytes()]


PLAIN = """
import sys
assert sys.flags.utf8_mode == 0
assert sys.stdout.encoding in ("ascii", "us-ascii")
import torch, actlib
from actlib import accuracy
from actlib.book import evidence, figures, measurements, tables, training
x = torch.linspace(-3, 3, 50, requires_grad=True)
(actlib.gelu(x).sum() + actlib.softmax(x, 0).square().sum()).backward()
assert x.grad.isfinite().all()
actlib.ACTIVATIONS["gelu"].op.backward.triton_source()
accuracy.main(["relu", "--count", "256"])
from benchmarks.__main__ import main
main(["relu", "--elements", "256", "--rounds", "2", "--no-compile", "--device", "cpu", "--results", sys.argv[1]])
"""


def test_works_in_a_locale_that_knows_ascii_alone(tmp_path):
    pytest.importorskip("matplotlib", reason="of what the book needs, too")
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-c", PLAIN, str(tmp_path)]
    run = subprocess.run(command, cwd=ROOT, env=os.environ | plain, capture_output=True, encoding="utf-8", check=False)
    assert run.returncode == 0, run.stderr
    assert "actlib.relu" in run.stdout
    assert run.stdout.isascii()
    assert list(tmp_path.glob("*.json"))


def digest(count):
    """Of what a function gives, computed by a kernel on as many threads as torch has."""
    torch.set_num_threads(2)
    return hashlib.sha256(actlib.gelu(torch.linspace(-9, 9, count)).numpy().tobytes()).hexdigest()


def test_a_process_that_is_started_anew_gives_the_same_bits():
    """As processes start on macOS and Windows."""
    count = 3 * llvm_runner.SHARE
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(digest, count).result(timeout=300) == digest(count)


def no_library(name):
    """Windows has no library of all that is loaded."""
    assert name is None
    raise TypeError("bad argument type for built-in operation")


@pytest.mark.parametrize("library", [no_library, lambda _: object()], ids=["no handle", "no OpenMP in it"])
def test_threads_of_its_own_where_no_openmp_is_found(library, monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", library)
    assert llvm_runner._openmp() is None


TARGETS = {
    "Linux, x86-64": ("x86_64-unknown-linux-gnu", "x86-64-v3"),
    "Linux, Arm": ("aarch64-unknown-linux-gnu", "generic"),
    "macOS, Arm": ("arm64-apple-darwin", "apple-m1"),
    "Windows, x86-64": ("x86_64-pc-windows-msvc-elf", "x86-64-v3"),  # as llvmlite says it for code that is run at once
}


def packed(kind, interleaved):
    op = ACTIVATIONS["swiglu"].op.vjp((0, 1))
    kinds, outputs = (kind, kind, kind, llvm_runner.NUMBER), (kind, kind)
    text = llvm_runner.kernel_source(op.name, op.torch_source, kinds, outputs, 1 if interleaved else None)
    return text if interleaved else llvm_runner.by_rows(text, kinds, outputs, 1)


KERNELS = {
    **{
        f"{a.name}, {kind}": lambda op=a.op.backward, kind=kind: llvm_runner.kernel_source(
            op.name,
            op.torch_source,
            (kind,) * len(op.inputs) + (llvm_runner.NUMBER,) * len(op.parameters),
            (kind,) * len(op.outputs),
        )
        for a in ELEMENTWISE
        if a is ACTIVATIONS["swiglu"] or a is ACTIVATIONS["mish"]
        for kind in ("float32", "bfloat16", "float16")
    },
    **{
        f"swiglu, {'interleaved' if interleaved else 'halves'}, {kind}": lambda k=kind, i=interleaved: packed(k, i)
        for interleaved in (False, True)
        for kind in ("float32", "bfloat16", "float16")
    },
    "softmax, float16": lambda: llvm_softmax.kernel_source(False, ("float16", "float16"), "float16"),
    "logarithm of softmax, bfloat16": lambda: llvm_softmax.kernel_source(True, ("bfloat16",), "bfloat16"),
    "softmax of 40, float32": lambda: llvm_softmax.kernel_source(False, ("float32", "float32"), "float32", 48),
    "softmax with all digits": lambda: llvm_softmax.exact_source(False, ("float32",) * 2, "float32", in_pairs=True),
    "softmax in float64": lambda: llvm_softmax.exact_source(False, ("bfloat16",) * 2, "bfloat16", in_pairs=False),
}


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS.keys())
@pytest.mark.parametrize(("triple", "cpu"), TARGETS.values(), ids=TARGETS.keys())
def test_kernels_call_only_what_every_system_has(triple, cpu, kernel):
    """No function of a compiler's library, which a running Python may lack; Windows has one that checks the stack."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    machine = llvm.Target.from_triple(triple).create_target_machine(cpu=cpu, opt=3, jit=True)
    source = kernel() + llvm_runner._SHARE.format(less=63, unit=64)
    module = llvm.parse_assembly(source + llvm_runner._MEMBER)
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=2))
    builder.getModulePassManager().run(module, builder)
    called = set(re.findall(CALL, machine.emit_assembly(module), re.MULTILINE))
    own = {"one_row", "span", "share", "decay", "actlib_thread", "actlib_threads"}
    assert called <= {"memcpy", *own} | ({"__chkstk"} if "windows" in triple else set())
    assert ("memcpy" in called) == ("llvm.memcpy" in source)


CALL = r"(?:^\s+movabsq\s+\$|^\s+(?:callq|jmp|bl|b)\s+_?|\s_(?=\w+@GOTPAGE$))(?!LBB)([a-zA-Z_]\w*)(?=[,@]|$)"
"""By name, or by an address that is loaded before; labels apart."""
