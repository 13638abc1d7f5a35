"""Generated machine code for the CPU: one pass over memory for each call.

The generated torch function is called once, on vectors that write down what is done to them. What they have written is
the body of a loop over memory, and LLVM compiles it for this processor, in some hundredths of a second.
"""

import ctypes
from collections.abc import Callable, Sequence

import llvmlite.binding as llvm
import torch
from torch import Tensor

from actlib.backends.torch_runner import flatten, is_plain, leader, share_out
from actlib.backends.vectors import LANES, PRIMITIVES, STORED, Code, Vector, load, spread, store, text

SHARE = 1 << 16
"""Elements that are worth a thread of their own."""

llvm.initialize_native_target()
llvm.initialize_native_asmprinter()
_FEATURES = llvm.get_host_cpu_features()
_HALVES = _FEATURES.get("f16c") or not llvm.get_default_triple().startswith(("x86", "i"))
DTYPES = {getattr(torch, name): name for name in STORED if name != "float16" or _HALVES}
"""What kernels read and write. Where a processor has no float16, LLVM would call functions that are not there."""

NUMBER = "number"


def takes(arguments: Sequence[Tensor | float]) -> bool:
    """Whether all tensors among the arguments are ordinary CPU tensors, not empty, of types that kernels read."""
    return all(a.dtype in DTYPES and is_plain(a) and a.numel() for a in arguments if isinstance(a, Tensor))


def can_run(source: str) -> bool:
    """Whether each function that a generated source calls has a form in vectors."""
    code = compile(source, "<source>", "exec")
    (function,) = (c for c in code.co_consts if hasattr(c, "co_names"))
    return set(function.co_names) <= PRIMITIVES.keys()


def kernel_source(name: str, source: str, kinds: Sequence[str], outputs: Sequence[str]) -> str:
    """A loop over memory in LLVM's language.

    Args:
        name: Name of the generated torch function.
        source: Its source.
        kinds: Type of the elements of each argument, or "number".
        outputs: Type of the elements of each result.

    Returns:
        A function `kernel` of the number of elements, the address of each result, and the address or number of each
        argument.
    """
    defined = {}
    exec(source, dict(PRIMITIVES), defined)
    code = Code()
    # Less than a vector is brought to the size of one, on the stack.
    places = [(f"out{i}", kind) for i, kind in enumerate(outputs)]
    places += [(f"in{i}", kind) for i, kind in enumerate(kinds) if kind != NUMBER]
    few = code.add(f"icmp ult i64 %n, {LANES}")
    code.entry += [f"%{place}_room = alloca [{LANES} x i32], align 64" for place, _ in places]
    code.lines.append(f"br i1 {few}, label %bring, label %begin")
    code.lines.append("bring:")
    for place, kind in places[len(outputs) :]:
        code.lines.append(f"store <{LANES} x i32> zeroinitializer, ptr %{place}_room")
        _copy(code, f"%{place}_room", f"%{place}", kind)
    code.lines += ["br label %begin", "begin:"]
    for place, _ in places:
        code.lines.append(f"%{place}_at = select i1 {few}, ptr %{place}_room, ptr %{place}")
    numbers = {i: Vector(code, spread(code, "float", f"%in{i}")) for i, kind in enumerate(kinds) if kind == NUMBER}
    end = code.add(f"select i1 {few}, i64 {LANES}, i64 %n")
    last = code.add(f"sub i64 {end}, {LANES}")

    def body(at):
        # The last vector ends with the last element, and computes some once more.
        at = code.add(f"select i1 {code.add(f'icmp ult i64 {at}, {last}')}, i64 {at}, i64 {last}")
        arguments = [
            numbers[i] if kind == NUMBER else load(code, kind, f"%in{i}_at", at) for i, kind in enumerate(kinds)
        ]
        results = defined[name](*arguments)
        results = results if len(outputs) > 1 else [results]
        for i, (result, kind) in enumerate(zip(results, outputs, strict=True)):
            if not isinstance(result, Vector):
                result = Vector(code, text(result))
            store(result, kind, f"%out{i}_at", at)

    code.loop(end, LANES, body)
    code.lines += [f"br i1 {few}, label %bring_back, label %end", "bring_back:"]
    for place, kind in places[: len(outputs)]:
        _copy(code, f"%{place}", f"%{place}_room", kind)
    code.lines += ["br label %end", "end:"]
    given = [f"float %in{i}" if kind == NUMBER else f"ptr %in{i}" for i, kind in enumerate(kinds)]
    return code.function(["i64 %n", *(f"ptr noalias %out{i}" for i in range(len(outputs))), *given])


def _copy(code: Code, target: str, source: str, kind: str) -> None:
    code.declared.add("declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)")
    size = code.add(f"mul i64 %n, {STORED[kind][1]}")
    code.lines.append(f"call void @llvm.memcpy.p0.p0.i64(ptr {target}, ptr {source}, i64 {size}, i1 false)")


def compiled(source: str, parameters: Sequence[type], cpu: str = "", features: str = "") -> Callable:
    """Compiles a module's function `kernel`, for this processor unless another is named.

    Args:
        source: The module, in LLVM's language.
        parameters: ctypes of the parameters.
        cpu: LLVM's name of a processor.
        features: What it can do, as LLVM says it.
    """
    module = llvm.parse_assembly(source)
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=cpu or llvm.get_host_cpu_name(), features=features or ("" if cpu else _FEATURES.flatten()), opt=3, jit=True
    )
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=2))
    builder.getModulePassManager().run(module, builder)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    function = ctypes.CFUNCTYPE(None, *parameters)(engine.get_function_address("kernel"))
    function.engine = engine  # which owns the machine code
    return function


def make(name: str, source: str, kinds: tuple[str, ...], outputs: tuple[str, ...]) -> Callable:
    """The kernel of a generated torch function, for arguments and results of the given kinds."""
    parameters = [ctypes.c_int64, *[ctypes.c_void_p] * len(outputs)]
    parameters += [ctypes.c_float if kind == NUMBER else ctypes.c_void_p for kind in kinds]
    return compiled(kernel_source(name, source, kinds, outputs), parameters)


def run(
    kernel: Callable[[tuple, tuple], Callable],
    arguments: Sequence[Tensor | float],
    shape: torch.Size,
    dtypes: Sequence[torch.dtype],
) -> list[Tensor]:
    """Runs the kernel that `kernel` gives for the kinds of arguments and results, on ordinary CPU tensors.

    Arguments and results are those of `torch_runner.run`; they are computed in float32.
    """
    like = leader(arguments, shape)
    outputs = [torch.empty_like(like) if d == like.dtype else torch.empty_like(like, dtype=d) for d in dtypes]
    order = outputs[0]
    stride, count = order.stride(), order.numel()
    kinds, given, kept = [], [], []
    for argument in arguments:
        if isinstance(argument, Tensor):
            same = argument.shape == shape and argument.stride() == stride
            if same or (argument.numel() > 1 and any(argument.stride())):
                if not same:
                    argument = flatten(argument.detach(), order)
                kept.append(argument)
                kinds.append(DTYPES[argument.dtype])
                given.append(argument.data_ptr())
                continue
            argument = argument.detach().as_strided((), ()).item()
        kinds.append(NUMBER)
        given.append(argument)
    function = kernel(tuple(kinds), tuple(DTYPES[d] for d in dtypes))
    targets = [out.data_ptr() for out in outputs]
    if count <= SHARE:
        function(count, *targets, *given)
        return outputs

    sizes = [STORED[DTYPES[d]][1] for d in dtypes] + [0 if kind == NUMBER else STORED[kind][1] for kind in kinds]
    places = [*targets, *given]
    share = max(SHARE, count // (4 * torch.get_num_threads()) + 63 & -64)

    def compute(start):
        moved = [v + start * size if size else v for v, size in zip(places, sizes, strict=True)]
        function(min(share, count - start), *moved)

    share_out(compute, range(0, count, share), here=True)
    return outputs
