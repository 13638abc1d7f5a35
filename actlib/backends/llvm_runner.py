"""Generated machine code for the CPU: one pass over memory for each call.

The generated torch function is called once, on vectors that write down what is done to them. What they have written is
the body of a loop over memory, and LLVM compiles it for this processor, in some hundredths of a second.
"""

import ctypes
import functools
import hashlib
import itertools
import os
import re
import struct
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from weakref import WeakValueDictionary

import llvmlite.binding as llvm
import torch
from torch import Tensor

from actlib.backends import doubles, vectors
from actlib.backends.torch_runner import address, define, flatten, in_compiler, is_heard, is_plain, leader
from actlib.backends.vectors import (
    BITS,
    BLOCK,
    LANES,
    PRIMITIVES,
    SIZES,
    STORED,
    Code,
    Double,
    Mask,
    Memory,
    Vector,
    absolute,
    spread,
    text,
    where,
)

SHARE = 1 << 15
"""Elements that are worth a thread of their own."""

llvm.initialize_native_target()
llvm.initialize_native_asmprinter()
_FEATURES = llvm.get_host_cpu_features()
_X86 = llvm.get_default_triple().startswith(("x86", "i"))
_HALVES = _FEATURES.get("f16c") or not _X86
_FUSED = _FEATURES.get("fma") or not _X86
DTYPES = {getattr(torch, name): name for name in STORED if _FUSED and (name != "float16" or _HALVES)}
"""What kernels read and write. Their accuracy rests on products and sums that are rounded once; and where a processor
has no float16, LLVM would call functions that are not there."""

NUMBER = "number"
NEAR = 16.0
"""Size up to which inputs are near 0, see `source.half_precision`."""

BETWEEN = 2.0**-7, 2.0**5
"""Sizes of numbers as parameters with which nothing is lost near 0."""

NAN = "0x7FF8000000000000"


def check() -> None:
    """Makes a kernel and runs it: an error is raised where LLVM does not serve this machine."""
    # In memory of its own: the first call may come while torch makes tensors without data.
    given, made = (ctypes.c_float * 1)(0.5), (ctypes.c_float * 1)()
    kernel = make("half", "def half(x):\n    return 0.5*x\n", ("float32",), ("float32",))
    kernel(1, 1, ctypes.addressof(made), ctypes.addressof(given))
    if made[0] != 0.25:
        raise RuntimeError(f"a kernel computed {made[0]} instead of 0.25")


def takes(arguments: Sequence[Tensor | float]) -> bool:
    """Whether all tensors among the arguments are ordinary CPU tensors, not empty, of types that kernels read."""
    for a in arguments:
        if isinstance(a, Tensor) and not (a.dtype in DTYPES and is_plain(a) and a.numel()):
            return False
    return not is_heard()


def can_run(source: str) -> bool:
    """Whether each function that a generated source calls has a form in vectors."""
    code = compile(source, "<source>", "exec")
    (function,) = (c for c in code.co_consts if hasattr(c, "co_names"))
    return set(function.co_names) <= PRIMITIVES.keys()


def kernel_source(name: str, source: str, kinds: Sequence[str], outputs: Sequence[str], numbers: str = "single") -> str:
    """A loop over memory in LLVM's language.

    Args:
        name: Name of the generated torch function.
        source: Its source.
        kinds: Type of the elements of each argument, or "number".
        outputs: Type of the elements of each result.
        numbers: What it computes in: "single" is float32, "double" is float64, and "near" float32 for inputs near 0
            and float64 for others.

    Returns:
        A module as `Code.function` describes it; `data` holds the number of elements, the address of each result, and
        the address or number of each argument.
    """
    double = numbers == "double"
    single_function = define(name, source, PRIMITIVES | vectors.PAIRED_SIGMAS)
    double_function = define(name, source, doubles.PRIMITIVES | doubles.PAIRED_SIGMAS)
    code = Code()
    code.lines.append("%n = sub i64 %end, %begin")
    places = [(f"out{i}", kind) for i, kind in enumerate(outputs)] + [(f"in{i}", kind) for i, kind in enumerate(kinds)]
    for number, (place, kind) in enumerate(places, 1):
        if kind == NUMBER:
            code.lines.append(f"%{place} = fmul double {code.field(number, 'double')}, 1.0")
        else:
            start = f"getelementptr {STORED[kind]}, ptr {code.field(number, 'ptr')}, i64 %begin"
            code.lines.append(f"%{place} = {start}")
    # Less than a block is brought to the size of one, on the stack.
    few = code.add(f"icmp ult i64 %n, {BLOCK}")
    tensors = [(place, kind) for place, kind in places if kind != NUMBER]
    code.entry += [f"%{place}_room = alloca [{BLOCK} x i32], align 64" for place, _ in tensors]
    code.lines += [f"br i1 {few}, label %bring, label %begins", "bring:"]
    for place, kind in tensors[len(outputs) :]:
        code.lines.append(f"store <{BLOCK} x i32> zeroinitializer, ptr %{place}_room")
        _copy(code, f"%{place}_room", f"%{place}", kind)
    code.lines += ["br label %begins", "begins:"]
    for place, _ in tensors:
        code.lines.append(f"%{place}_at = select i1 {few}, ptr %{place}_room, ptr %{place}")
    scalars = {i: _number(code, f"%in{i}") for i, kind in enumerate(kinds) if kind == NUMBER}
    of_scalars = None
    if numbers == "near" and scalars:
        within = [[absolute(v) >= BETWEEN[0], absolute(v) <= BETWEEN[1]] for v in scalars.values()]
        of_scalars = ~functools.reduce(Mask.__and__, itertools.chain(*within))
    memory = Memory(code, [kind for _, kind in tensors])
    size = code.add(f"select i1 {few}, i64 {BLOCK}, i64 %n")
    last = code.add(f"sub i64 {size}, {BLOCK}")

    def body(at):
        # The last block ends with the last element, and computes some once more.
        at = code.add(f"select i1 {code.add(f'icmp ult i64 {at}, {last}')}, i64 {at}, i64 {last}")
        for place, kind in tensors:
            memory.fetch(kind, f"%{place}_at", at, to_write=place.startswith("out"))
        loaded = {i: memory.load(kind, f"%in{i}_at", at) for i, kind in enumerate(kinds) if kind != NUMBER}

        def compute(vector):
            """Two vectors a result, computed in such vectors."""
            code.vector = vector
            given = ([scalars[i]] * 2 if kind == NUMBER else loaded[i] for i, kind in enumerate(kinds))
            given = [[v.to(vector) for v in values] for values in given]
            function = double_function if vector is Double else single_function
            results = [function(*arguments) for arguments in zip(*given, strict=True)]
            results = zip(*results, strict=True) if len(outputs) > 1 else [results]
            as_vector = lambda v: v if isinstance(v, Vector) else vector(code, text(v, vector))
            made = [[as_vector(v).to(Vector) for v in values] for values in results]
            code.vector = Vector
            return made

        def store(results):
            for i, (values, kind) in enumerate(zip(results, outputs, strict=True)):
                memory.store(values, kind, f"%out{i}_at", at)

        results = compute(Double if double else Vector)
        store(results)
        if numbers == "near":
            far = [_far([values[half] for values in loaded.values()], of_scalars) for half in range(2)]
            any_far = code.call(f"vector.reduce.or.v{LANES}i1", "i1", (BITS, (far[0] | far[1]).name))
            again, done = code.name(), code.name()
            code.lines += [f"br i1 {any_far}, label %{again}, label %{done}", f"{again}:"]
            pairs = zip(results, compute(Double), strict=True)
            store([[where(m, b, a) for m, a, b in zip(far, *pair, strict=True)] for pair in pairs])
            code.lines += [f"br label %{done}", f"{done}:"]

    code.loop(size, BLOCK, body)
    code.lines += [f"br i1 {few}, label %bring_back, label %ends", "bring_back:"]
    for place, kind in tensors[: len(outputs)]:
        _copy(code, f"%{place}", f"%{place}_room", kind)
    code.lines += ["br label %ends", "ends:"]
    return code.function()


def _far(inputs: Sequence[Vector], of_scalars: Mask | None) -> Mask:
    """The lanes in which an input is not near 0, or all if a number is not."""
    beyond = [~(absolute(v) <= NEAR) for v in inputs]
    return functools.reduce(Mask.__or__, beyond if of_scalars is None else [*beyond, of_scalars])


def _number(code: Code, name: str) -> Double:
    """A number in all lanes; every NaN as the one whose lower half is 0."""
    is_number = code.add(f"fcmp ord double {name}, 0.0")
    return Double(code, spread(code, "double", code.add(f"select i1 {is_number}, double {name}, double {NAN}")))


def _copy(code: Code, target: str, source: str, kind: str) -> None:
    code.declared.add("declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)")
    size = code.add(f"mul i64 %n, {SIZES[STORED[kind]]}")
    code.lines.append(f"call void @llvm.memcpy.p0.p0.i64(ptr {target}, ptr {source}, i64 {size}, i1 false)")


class Kernel:
    """A compiled module, which shares its work out among the threads in which torch computes.

    Args:
        source: What `Code.function` gave.
        fields: The arguments that follow the number of things to do: "Q" for an address, "d" for a number.
        unit: Each thread but the last does a multiple of so many.
        cpu: LLVM's name of a processor; this one, if none is given.
        features: What that processor can do, as LLVM says it.
    """

    def __init__(self, source: str, fields: str, unit: int, cpu: str = "", features: str = ""):
        features = features if cpu else _FEATURES.flatten()
        machine = llvm.Target.from_default_triple().create_target_machine(
            cpu=cpu or llvm.get_host_cpu_name(), features=features, opt=3, jit=True
        )
        shared = _SHARE.format(less=unit - 1, unit=unit) + (_MEMBER.format(**_ADDRESSES) if _TEAM else "")
        module = llvm.parse_assembly(source + shared)
        builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=2))
        builder.getModulePassManager().run(module, builder)
        self._engine = llvm.create_mcjit_compiler(module, machine)  # which owns the machine code
        self._engine.finalize_object()
        self._pack = struct.Struct(f"=Q{fields}").pack
        kind = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_uint64, ctypes.c_uint64)
        self._share = kind(self._engine.get_function_address("share"))
        self._member = self._engine.get_function_address("member") if _TEAM else None

    def __call__(self, count: int, threads: int, *values: float) -> None:
        """Does so many things, on so many threads, with addresses and numbers as arguments."""
        data = self._pack(count, *values)
        if threads == 1:
            self._share(data, 0, 1)
        elif _TEAM:
            _TEAM(self._member, data, threads, 0)
        else:
            list(_pool(threads, os.getpid()).map(lambda thread: self._share(data, thread, threads), range(threads)))


_SHARE = """
define void @share(ptr %data, i64 %thread, i64 %threads) {{
  %count = load i64, ptr %data, align 8
  %fewer = sub i64 %threads, 1
  %above = add i64 %count, %fewer
  %each = udiv i64 %above, %threads
  %over = add i64 %each, {less}
  %units = udiv i64 %over, {unit}
  %share = mul i64 %units, {unit}
  %first = mul i64 %share, %thread
  %next = add i64 %first, %share
  %begin = call i64 @llvm.umin.i64(i64 %first, i64 %count)
  %end = call i64 @llvm.umin.i64(i64 %next, i64 %count)
  call void @span(i64 %begin, i64 %end, i64 %thread, ptr %data)
  ret void
}}
declare i64 @llvm.umin.i64(i64, i64)
"""
"""What one of several threads does."""

_MEMBER = """
define void @member(ptr %data) {{
  %thread = call i32 inttoptr (i64 {thread} to ptr)()
  %threads = call i32 inttoptr (i64 {threads} to ptr)()
  %number = zext i32 %thread to i64
  %all = zext i32 %threads to i64
  call void @share(ptr %data, i64 %number, i64 %all)
  ret void
}}
"""
"""The same for a thread of an OpenMP team, which may be smaller than was asked for."""


def _openmp() -> tuple[Callable | None, dict[str, int]]:
    """How the OpenMP that torch has loaded starts its threads, and where it says which thread it is; None if not so.

    Its threads wait for work when torch has just computed: to begin there costs less than to wake others.
    """
    try:
        library = ctypes.CDLL(None)
        team = library.GOMP_parallel
        names = {"thread": library.omp_get_thread_num, "threads": library.omp_get_num_threads}
    except (AttributeError, OSError, TypeError):
        return None, {}
    team.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint, ctypes.c_uint]
    team.restype = None
    return team, {name: ctypes.cast(function, ctypes.c_void_p).value for name, function in names.items()}


_TEAM, _ADDRESSES = _openmp()


@functools.lru_cache(maxsize=1)
def _pool(threads: int, process: int) -> ThreadPoolExecutor:  # noqa: ARG001 - a forked process has no threads but its own
    return ThreadPoolExecutor(threads, "actlib")


KERNELS: WeakValueDictionary[tuple, Kernel] = WeakValueDictionary()
"""All that somebody has: machine code takes megabytes, and goes with the last function that runs it."""


def make(name: str, source: str, kinds: tuple[str, ...], outputs: tuple[str, ...], numbers: str = "single") -> Kernel:
    """The kernel of a generated torch function, for arguments and results of the given kinds."""
    key = (name, source, kinds, outputs, numbers)
    kernel = KERNELS.get(key)
    if kernel is None:
        fields = "Q" * len(outputs) + "".join("d" if kind == NUMBER else "Q" for kind in kinds)
        kernel = KERNELS[key] = Kernel(kernel_source(name, source, kinds, outputs, numbers), fields, unit=64)
    return kernel


def run(
    name: str,
    source: str,
    arguments: Sequence[Tensor | float],
    shape: torch.Size,
    dtypes: Sequence[torch.dtype],
    kernels: dict[tuple, Kernel] | None = None,
    numbers: str = "single",
) -> list[Tensor]:
    """Runs a generated torch function as a kernel, on ordinary CPU tensors.

    Arguments and results are those of `torch_runner.run`; they are computed in `numbers`, as `kernel_source` takes
    them. What has been compiled is kept in `kernels`, by kinds and types.
    """
    like = leader(arguments, shape)
    outputs = [torch.empty_like(like) if d == like.dtype else torch.empty_like(like, dtype=d) for d in dtypes]
    order = outputs[0]
    stride, count = order.stride(), order.numel()
    kinds, given = [], []
    kept = []  # copies live until they have been read
    for argument in arguments:
        if isinstance(argument, Tensor):
            same = argument.shape == shape and argument.stride() == stride
            if same or (argument.numel() > 1 and any(argument.stride())):
                if not same:
                    argument = flatten(argument.detach(), order)
                    kept.append(argument)
                kinds.append(DTYPES[argument.dtype])
                given.append(address(argument))
                continue
            address(argument)
            argument = argument.detach().as_strided((), ()).item()
        kinds.append(NUMBER)
        given.append(argument)
    key = (*kinds, *dtypes)
    kernel = None if kernels is None else kernels.get(key)
    if kernel is None:
        kernel = make(name, source, tuple(kinds), tuple(DTYPES[d] for d in dtypes), numbers)
        if kernels is not None:
            kernels[key] = kernel
    threads = min(torch.get_num_threads(), 1 + count // SHARE)
    kernel(count, threads, *[out.data_ptr() for out in outputs], *given)
    return outputs


_LIBRARY = torch.library.Library("actlib", "DEF")
"""For torch.compile, which puts calls of operations into its graphs."""


def serves_compilers(arguments: Sequence[Tensor | float]) -> bool:
    """Whether a graph is made that gets calls of kernels for these arguments, of which type and device are known alone.

    Programs for export do not: they shall run where this library is not installed.
    """
    return (
        in_compiler()
        and not torch.compiler.is_exporting()
        and all(a.device.type == "cpu" and a.dtype in DTYPES for a in arguments if isinstance(a, Tensor))
    )


@functools.cache
def operation(
    name: str,
    source: str,
    inputs: int,
    like: tuple[int | None, ...],
    tensors: tuple[bool, ...],
    numbers: str,
) -> Callable[..., Tensor | tuple[Tensor, ...]]:
    """`run` as an operation that compilers leave alone.

    Args:
        name: Name of the generated torch function.
        source: Its source.
        inputs: How many of its arguments, from the first on, have the shape of the results; the rest are parameters.
        like: For each result the argument whose type it has; None for float32.
        tensors: Which of the arguments are tensors; the others are numbers.
        numbers: What it computes in.

    Returns:
        A function of the arguments. It returns a tensor, or a tuple of several.
    """
    # Of the same name in every process, since torch keeps compiled graphs in files.
    digest = hashlib.sha256(repr((source, inputs, like, tensors, numbers)).encode()).hexdigest()
    unique = f"{re.sub('[^A-Za-z0-9_]', '', name)}_{digest[:12]}"
    kernels = {}

    def types(arguments):
        return [torch.float32 if k is None else arguments[k].dtype for k in like]

    def compute(*arguments):
        results = run(name, source, arguments, arguments[inputs - 1].shape, types(arguments), kernels, numbers)
        return results[0] if len(results) == 1 else tuple(results)

    def shapes(*arguments):
        first = leader(arguments, arguments[inputs - 1].shape)
        results = [torch.empty_like(first, dtype=d) for d in types(arguments)]
        return results[0] if len(results) == 1 else tuple(results)

    given = ", ".join(f"{'Tensor' if is_tensor else 'float'} x{i}" for i, is_tensor in enumerate(tensors))
    made = ", ".join(["Tensor"] * len(like))
    _LIBRARY.define(f"{unique}({given}) -> {made if len(like) == 1 else f'({made})'}")
    _LIBRARY.impl(unique, compute, "CPU")
    torch.library.register_fake(f"actlib::{unique}", shapes, lib=_LIBRARY)
    return getattr(torch.ops.actlib, unique).default
