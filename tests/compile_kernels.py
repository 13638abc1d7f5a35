"""Compiles every kernel for GPUs that need not be there, and prints what came out as JSON. No test by itself."""

import json
import pathlib
import re
import subprocess
import tempfile

import triton
from formulas import CASES, ELEMENTWISE
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from actlib.backends import softmax_kernels

CUOBJDUMP = pathlib.Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"


def signature(kernel, pointer):
    """Type of each argument of the kernel, read off its name."""
    types = {"n": "i64", "BLOCK": "constexpr"}
    for name in kernel.arg_names:
        known = "i64" if name.endswith(("_inner", "_size")) else pointer if name.endswith("_ptr") else "fp32"
        types.setdefault(name, known)
    return {name: types[name] for name in kernel.arg_names}


def elementwise_report(op, order, kinds, pointer, capability, file, double=None):
    kernel = op._kernel(kinds, op._needs_double if double is None else double)
    source = ASTSource(fn=kernel, signature=signature(kernel, pointer), constexprs={"BLOCK": 1024})
    trigonometric = bool(re.search(r"\b(sin|cos)\(", op.torch_source))
    return report(source, pointer, capability, file) | {"name": op.name, "order": order, "trigonometric": trigonometric}


def softmax_report(kernel, logarithm, masked, length, pointer, capability, file, double=False):
    block, rows = softmax_kernels.sizes(length, double)
    sizes = {"LOGARITHM": logarithm, "MASKED": masked, "DOUBLE": double, "ROWS": rows, "BLOCK": block}
    types = {n: "*i1" if n == "mask_ptr" else pointer if n.endswith("_ptr") else "i64" for n in kernel.arg_names}
    source = ASTSource(fn=kernel, signature=types | dict.fromkeys(sizes, "constexpr"), constexprs=sizes)
    name, order = f"{'log_' if logarithm else ''}softmax", int("g_ptr" in kernel.arg_names)
    warps = softmax_kernels.warps(rows * block, double)
    return report(source, pointer, capability, file, warps) | {"name": name, "order": order, "trigonometric": False}


def report(source, pointer, capability, file, warps=4):
    compiled = triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": warps})
    file.write_bytes(compiled.asm["cubin"])
    usage = subprocess.run([CUOBJDUMP, "-res-usage", file], capture_output=True, encoding="utf-8", check=True).stdout
    return {
        "capability": capability,
        "pointer": pointer,
        "bytes": len(compiled.asm["cubin"]),
        "local": int(re.search(r"LOCAL:(\d+)", usage)[1]),
        "stack": int(re.search(r"STACK:(\d+)", usage)[1]),
        "flushes": "ex2.approx.ftz" in compiled.asm["ptx"],
        "rounds": "cvt.rn.bf16" in compiled.asm["ptx"],
        "cuts": "cvt.rz.bf16" in compiled.asm["ptx"],
    }


def main():
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for first in [case.op for case in CASES.values()] + [a.op for a in ELEMENTWISE]:
            for order, op in enumerate((first, first.backward, first.backward.backward)):
                full = ("full",) * len(op.inputs)
                number, channel = (full + (kind,) * len(op.parameters) for kind in ("number", "channel"))
                rows.append(elementwise_report(op, order, number, "*bf16", 90, pathlib.Path(folder, "cubin")))
                if order < 2:
                    rows.append(elementwise_report(op, order, channel, "*fp32", 80, pathlib.Path(folder, "cubin")))
                    rows.append(elementwise_report(op, order, number, "*fp32", 90, pathlib.Path(folder, "cubin"), True))
        for a in ELEMENTWISE:
            if len(a.inputs) == 2:  # gate and value in one tensor
                numbers = ("number",) * len(a.op.parameters)
                for order, (op, sent) in enumerate(((a.op, ()), (a.op.vjp((0, 1)), ("full",)))):
                    kinds = (*sent, "packed", "packed", *numbers)
                    rows.append(elementwise_report(op, order, kinds, "*bf16", 90, pathlib.Path(folder, "cubin")))
        for kernel in (softmax_kernels.forward_kernel, softmax_kernels.backward_kernel):
            for logarithm in (False, True):
                file = pathlib.Path(folder, "cubin")
                rows.append(softmax_report(kernel, logarithm, False, 4096, "*bf16", 90, file))
                rows.append(softmax_report(kernel, logarithm, True, 512, "*fp32", 80, file))
                rows.append(softmax_report(kernel, logarithm, False, 4096, "*fp32", 90, file, True))
                rows.append(softmax_report(kernel, logarithm, True, 16, "*bf16", 80, file, True))
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
