"""Generated machine code for the CPU: one pass over memory for each call.

The generated torch function is called once, on vectors that write down what is done to them. What they have written is
the body of a loop over memory, and LLVM compiles it for this processor, in some hundredths of a second. What it has
compiled is kept on disk, see `machine_code`.
"""

import contextlib
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

from actlib.backends import doubles, machine_code, rough, vectors
from actlib.backends.calls import SHARE, Launch, launch
from actlib.backends.rough import Rough
from actlib.backends.torch_runner import address, define, flatten, in_compiler, is_heard, is_plain, leader, unseen
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


def kernel_source(
    name: str,
    source: str,
    kinds: Sequence[str],
    outputs: Sequence[str],
    numbers: str = "single",
    interleaved: int | None = None,
) -> str:
    """A loop over memory in LLVM's language.

    Args:
        name: Name of the generated torch function.
        source: Its source.
        kinds: Type of the elements of each argument, or "number".
        outputs: Type of the elements of each result.
        numbers: What it computes in: "single" is float32, "double" is float64, "near" float32 for inputs near 0 and
            float64 for others, and "rough" float64 to as many digits as a result in float32 needs, or to all of them
            where terms cancel.
        interleaved: The first of two arguments whose elements lie in turn; so do those of two results, if there are
            two.

    Returns:
        A module as `Code.function` describes it; `data` holds the number of elements, the address of each result, and
        the address or number of each argument. What is interleaved has one address.
    """
    first = {"double": Double, "rough": Rough}.get(numbers, Vector)
    primitives = {Vector: vectors, Rough: rough}
    functions = {v: define(name, source, m.PRIMITIVES | m.PAIRED_SIGMAS) for v, m in primitives.items()}
    functions[Double] = define(name, source, doubles.PRIMITIVES | doubles.PAIRED_SIGMAS | doubles.MEASURES)
    code = Code()
    code.lines.append("%n = sub i64 %end, %begin")
    made = [(f"out{i}", kind) for i, kind in enumerate(outputs)]
    given = [(f"in{i}", kind) for i, kind in enumerate(kinds)]
    packed = set()
    if interleaved is not None:
        packed = {f"in{interleaved}"} | ({"out0"} if len(made) > 1 else set())
        made, given = made[:1], given[: interleaved + 1] + given[interleaved + 2 :]
    for number, (place, kind) in enumerate([*made, *given], 1):
        if kind == NUMBER:
            code.lines.append(f"%{place} = fmul double {code.field(number, 'double')}, 1.0")
        else:
            begin = code.add("shl i64 %begin, 1") if place in packed else "%begin"
            start = f"getelementptr {STORED[kind]}, ptr {code.field(number, 'ptr')}, i64 {begin}"
            code.lines.append(f"%{place} = {start}")
    # Less than a block is brought to the size of one, on the stack.
    few = code.add(f"icmp ult i64 %n, {BLOCK}")
    tensors = [(place, kind) for place, kind in [*made, *given] if kind != NUMBER]
    rooms = {place: BLOCK << (place in packed) for place, _ in tensors}
    code.entry += [f"%{place}_room = alloca [{room} x i32], align 64" for place, room in rooms.items()]
    code.lines += [f"br i1 {few}, label %bring, label %begins", "bring:"]
    for place, kind in tensors[len(made) :]:
        code.lines.append(f"store <{rooms[place]} x i32> zeroinitializer, ptr %{place}_room")
        _copy(code, f"%{place}_room", f"%{place}", SIZES[STORED[kind]] << (place in packed))
    code.lines += ["br label %begins", "begins:"]
    for place, _ in tensors:
        code.lines.append(f"%{place}_at = select i1 {few}, ptr %{place}_room, ptr %{place}")
    scalars = {i: _number(code, f"%in{i}") for i, kind in enumerate(kinds) if kind == NUMBER}
    of_scalars = None
    if numbers == "near" and scalars:
        within = [[absolute(v) >= BETWEEN[0], absolute(v) <= BETWEEN[1]] for v in scalars.values()]
        of_scalars = ~functools.reduce(Mask.__and__, itertools.chain(*within))
    memory = Memory(code, [kind for _, kind in tensors], interleaved=bool(packed))
    size = code.add(f"select i1 {few}, i64 {BLOCK}, i64 %n")
    last = code.add(f"sub i64 {size}, {BLOCK}")

    def body(at):
        # The last block ends with the last element, and computes some once more.
        at = code.add(f"select i1 {code.add(f'icmp ult i64 {at}, {last}')}, i64 {at}, i64 {last}")
        for place, kind in tensors:
            for block in range(1 + (place in packed)):
                ahead = (
                    code.add(f"add i64 {at}, {code.add(f'add i64 {at}, {block * BLOCK}')}") if place in packed else at
                )
                memory.fetch(kind, f"%{place}_at", ahead, to_write=place.startswith("out"))

        def load():
            """Two vectors an argument."""
            loaded = {}
            for i, kind in enumerate(kinds):
                if kind == NUMBER:
                    loaded[i] = [scalars[i]] * 2
                elif i == interleaved:
                    loaded[i], loaded[i + 1] = memory.load_interleaved(kind, f"%in{i}_at", at)
                elif i not in loaded:
                    loaded[i] = memory.load(kind, f"%in{i}_at", at)
            return loaded

        def compute(vector, loaded):
            """Two vectors a result, computed in such vectors; and in which lanes of each these have too few digits."""
            code.vector = Double if vector is Rough else vector
            given = [[v.to(vector) for v in loaded[i]] for i in range(len(kinds))]
            results, masks, steps, begun = [], [], [], len(code.lines)
            for arguments in zip(*given, strict=True):
                results.append(functions[vector](*arguments))
                masks.append(code.cancelled)
                steps.append(code.lines[begun:])
                code.cancelled = []
                del code.lines[begun:]
            # In turn: a processor looks ahead, but not as far as to the end of the first.
            code.lines += itertools.chain.from_iterable(zip(*steps, strict=True))
            results = zip(*results, strict=True) if len(outputs) > 1 else [results]
            as_vector = lambda v: v if isinstance(v, Vector) else vector(code, text(v, vector))
            made = [[as_vector(v).to(Vector) for v in values] for values in results]
            code.vector = Vector
            return made, masks

        def store(results):
            if "out0" in packed:
                memory.store_interleaved(results, outputs[0], "%out0_at", at)
                return
            for i, (values, kind) in enumerate(zip(results, outputs, strict=True)):
                memory.store(values, kind, f"%out{i}_at", at)

        def stored():
            if "out0" in packed:
                return memory.load_interleaved(outputs[0], "%out0_at", at)
            return [memory.load(kind, f"%out{i}_at", at) for i, kind in enumerate(outputs)]

        loaded, begun = load(), len(code.lines)
        results, masks = compute(first, loaded)
        if code.wants_many and not code.many:
            code.many = True
            del code.lines[begun:]
            results, masks = compute(first, loaded)
        store(results)
        if numbers == "near":
            tensors_alone = [loaded[i] for i, kind in enumerate(kinds) if kind != NUMBER]
            masks = [[_far([values[half] for values in tensors_alone], of_scalars)] for half in range(2)]
        if masks[0]:
            # All is loaded once more, so that nothing must be kept for what happens rarely.
            one, other = masks = [functools.reduce(Mask.__or__, some) for some in masks]
            some = code.call(f"vector.reduce.or.v{LANES}i1", "i1", (BITS, (one | other).name))
            again, done = code.name(), code.name()
            code.lines += [f"br i1 {some}, label %{again}, label %{done}", f"{again}:"]
            pairs = zip(stored(), compute(Double, load())[0], strict=True)
            store([[where(m, b, a) for m, a, b in zip(masks, *pair, strict=True)] for pair in pairs])
            code.lines += [f"br label %{done}", f"{done}:"]

    code.loop(size, BLOCK, body)
    code.lines += [f"br i1 {few}, label %bring_back, label %ends", "bring_back:"]
    for place, kind in tensors[: len(made)]:
        _copy(code, f"%{place}", f"%{place}_room", SIZES[STORED[kind]] << (place in packed))
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


def _copy(code: Code, target: str, source: str, size: int) -> None:
    code.declared.add("declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)")
    size = code.add(f"mul i64 %n, {size}")
    code.lines.append(f"call void @llvm.memcpy.p0.p0.i64(ptr {target}, ptr {source}, i64 {size}, i1 false)")


class Kernel:
    """A compiled module, which shares its work out among the threads in which torch computes.

    Args:
        source: Writes what `Code.function` gives.
        fields: The arguments that follow the number of things to do: "Q" for an address, "d" for a number.
        unit: Each thread but the last does a multiple of so many.
        cpu: LLVM's name of a processor; this one, if none is given.
        features: What that processor can do, as LLVM says it.

    Attributes:
        pack: Makes bytes of the number of things to do and of the arguments.
        whole: Does all of them in this thread, given these bytes.
    """

    def __init__(self, source: Callable[[], str], fields: str, unit: int, cpu: str = "", features: str = ""):
        self._made_of = source, fields, unit, cpu, features
        cpu, features = (cpu, features) if cpu else (llvm.get_host_cpu_name(), _FEATURES.flatten())
        text = source() + _SHARE.format(less=unit - 1, unit=unit) + (_MEMBER if _TEAM else "")
        code = machine_code.kept((text, cpu, features), lambda: _compiled(text, cpu, features))
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine(cpu, features))  # owns the code
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        self._engine.finalize_object()
        self.pack = struct.Struct(f"=Q{fields}").pack
        kind = ctypes.CFUNCTYPE(None, ctypes.c_char_p)
        self.whole = kind(self._engine.get_function_address("whole"))
        kind = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_uint64, ctypes.c_uint64)
        self._share = kind(self._engine.get_function_address("share"))
        self._member = self._engine.get_function_address("member") if _TEAM else None

    def __call__(self, count: int, threads: int, *values: float) -> None:
        """Does so many things, on so many threads, with addresses and numbers as arguments."""
        self.shared(self.pack(count, *values), threads)

    def shared(self, data: bytes, threads: int) -> None:
        """The same, of arguments that are packed."""
        if threads == 1:
            self.whole(data)
        elif _TEAM:
            _TEAM(self._member, data, threads, 0)
        else:
            list(_pool(threads, os.getpid()).map(lambda thread: self._share(data, thread, threads), range(threads)))

    def for_results(self, *results: Tensor) -> "Kernel":
        """The kernel to write whole blocks into these with: where they are large, one that writes past the caches."""
        if results[0].nbytes < LARGE:
            return self
        fits = all(r.nbytes >= LARGE and r.numel() % BLOCK == 0 and r.data_ptr() % LINE == 0 for r in results)
        return self._past_caches if fits else self

    @functools.cached_property
    def _past_caches(self) -> "Kernel":
        source, *rest = self._made_of
        return Kernel(lambda: past_caches(source()), *rest)


LARGE = 1 << 23
"""Bytes from which results are written past the caches. These would not hold them until somebody reads them, and what
is written by way of a cache is read from memory first."""

LINE = 64
"""Bytes that caches and memory exchange at a time."""


def past_caches(text: str) -> str:
    """A kernel that does the same, but writes whole blocks of results past the caches.

    Args:
        text: What `Code.function` gave.

    Returns:
        A module likewise; addresses of results must be multiples of `LINE`, and so must what each thread and each row
        begins with.
    """
    store = re.compile(rf"store <{LANES} x (\w+)> (\S+), ptr (\S+), align [24]$", re.MULTILINE)

    def written(found):
        kind, value, place = found.groups()
        size = LANES * SIZES.get(kind, 4)
        return f"store <{LANES} x {kind}> {value}, ptr {place}, align {size}, !nontemporal !0"

    text, count = store.subn(written, text)
    if not count:
        raise ValueError("the kernel writes no block")
    # What is written need not be fetched.
    text = re.sub(r"^ *call void @llvm\.prefetch\.p0\(ptr \S+, i32 1,.*\n", "", text, flags=re.MULTILINE)
    # Others see what was written so only after a fence.
    text = re.sub(r"ret void\n\}$", "fence seq_cst\n  ret void\n}", text, count=1, flags=re.MULTILINE)
    return f"{text}!0 = !{{i32 1}}\n"


def _machine(cpu: str, features: str) -> llvm.TargetMachine:
    return llvm.Target.from_default_triple().create_target_machine(cpu=cpu, features=features, opt=3, jit=True)


def _compiled(text: str, cpu: str, features: str) -> bytes:
    """An object file with the functions of a module."""
    # All of it is closed: what is left to the collector keeps ten times the memory.
    with contextlib.ExitStack() as opened:
        machine, module = (
            opened.enter_context(contextlib.closing(o)) for o in (_machine(cpu, features), llvm.parse_assembly(text))
        )
        builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=2))
        passes = builder.getModulePassManager()
        opened.callback(builder.close)
        opened.callback(passes.close)
        passes.run(module, builder)
        return machine.emit_object(module)


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

define void @whole(ptr %data) {{
  %count = load i64, ptr %data, align 8
  call void @span(i64 0, i64 %count, i64 0, ptr %data)
  ret void
}}
"""
"""What one of several threads does, and one alone."""

_MEMBER = """
declare i32 @actlib_thread()
declare i32 @actlib_threads()

define void @member(ptr %data) {
  %thread = call i32 @actlib_thread()
  %threads = call i32 @actlib_threads()
  %number = zext i32 %thread to i64
  %all = zext i32 %threads to i64
  call void @share(ptr %data, i64 %number, i64 %all)
  ret void
}
"""
"""The same for a thread of an OpenMP team, which may be smaller than was asked for."""


def _openmp() -> Callable | None:
    """How the OpenMP that torch has loaded starts its threads; None if not so.

    Its threads wait for work when torch has just computed: to begin there costs less than to wake others. Kernels get
    to know from it which thread they run in.
    """
    try:
        library = ctypes.CDLL(None)
        team = library.GOMP_parallel
        names = {"actlib_thread": library.omp_get_thread_num, "actlib_threads": library.omp_get_num_threads}
    except (AttributeError, OSError, TypeError):
        return None
    team.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint, ctypes.c_uint]
    team.restype = None
    for name, function in names.items():
        llvm.add_symbol(name, ctypes.cast(function, ctypes.c_void_p).value)
    return team


_TEAM = _openmp()


@functools.lru_cache(maxsize=1)
def _pool(threads: int, process: int) -> ThreadPoolExecutor:  # noqa: ARG001 - a forked process has no threads but its own
    return ThreadPoolExecutor(threads, "actlib")


KERNELS: WeakValueDictionary[tuple, Kernel] = WeakValueDictionary()
"""All that somebody has: machine code takes memory, some 60 to 220 KB, and goes with the last function that runs it."""


def make(name: str, source: str, kinds: tuple[str, ...], outputs: tuple[str, ...], numbers: str = "single") -> Kernel:
    """The kernel of a generated torch function, for arguments and results of the given kinds."""
    key = (name, source, kinds, outputs, numbers)
    kernel = KERNELS.get(key)
    if kernel is None:
        fields = "Q" * len(outputs) + "".join("d" if kind == NUMBER else "Q" for kind in kinds)
        kernel = KERNELS[key] = Kernel(
            functools.partial(kernel_source, name, source, kinds, outputs, numbers), fields, unit=64
        )
    return kernel


@unseen
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
        if isinstance(argument, Tensor) and (argument.shape != shape or argument.stride() != stride):
            argument = _laid_out(argument, order)
            kept.append(argument)
        kinds.append(DTYPES[argument.dtype] if isinstance(argument, Tensor) else NUMBER)
        given.append(address(argument) if isinstance(argument, Tensor) else argument)
    kernel = _made(name, source, tuple(kinds), tuple(dtypes), kernels, numbers)
    threads = min(torch.get_num_threads(), 1 + count // SHARE)
    kernel.for_results(*outputs)(count, threads, *[out.data_ptr() for out in outputs], *given)
    return outputs


def _made(name, source, kinds, dtypes, kernels: dict[tuple, Kernel] | None, numbers: str) -> Kernel:
    """What `make` makes, kept in `kernels`."""
    key = (*kinds, *dtypes)
    kernel = None if kernels is None else kernels.get(key)
    if kernel is None:
        kernel = make(name, source, kinds, tuple(DTYPES[d] for d in dtypes), numbers)
        if kernels is not None:
            kernels[key] = kernel
    return kernel


def launch_of(
    name: str,
    source: str,
    inputs: int,
    parameters: int,
    dtype: torch.dtype,
    like: Sequence[int | None],
    kernels: dict[tuple, Kernel],
    numbers: str,
) -> Launch | None:
    """What runs a generated torch function on dense CPU tensors of one type and shape, and on numbers.

    Args:
        name: Name of the function.
        source: Its source.
        inputs: How many tensors it takes.
        parameters: How many numbers follow.
        dtype: Type of the tensors. None is returned where kernels do not read it.
        like: For each result, which of the tensors has its type; None for float32.
        kernels: Where what is compiled is kept.
        numbers: What it computes in, as `kernel_source` takes it.
    """
    if dtype not in DTYPES:
        return None
    kinds = (DTYPES[dtype],) * inputs + (NUMBER,) * parameters
    dtypes = tuple(torch.float32 if k is None else dtype for k in like)
    kernel = _made(name, source, kinds, dtypes, kernels, numbers)
    return launch(kernel, inputs, parameters, [None if d == dtype else d for d in dtypes])


def _laid_out(argument: Tensor, order: Tensor) -> Tensor | float:
    """The elements of an argument in the memory order of a dense tensor; a number, where all are the same one."""
    if argument.numel() > 1 and any(argument.stride()):
        return flatten(argument.detach(), order)
    address(argument)
    return argument.detach().as_strided((), ()).item()


@unseen
def run_packed(
    name: str,
    source: str,
    arguments: Sequence[Tensor | float],
    at: int,
    out: Tensor,
    order: Tensor,
    kernels: dict[tuple, Kernel],
    numbers: str,
    *,
    interleaved: bool,
) -> None:
    """Runs a generated torch function of which two arguments share a tensor, and two results likewise.

    Args:
        name: Its name.
        source: Its source.
        arguments: Its arguments, but for one contiguous tensor in place of two.
        at: The place of that.
        out: A contiguous tensor that is written into; of twice the width for two results.
        order: A contiguous tensor of the shape of each of them.
        kernels: What has been compiled, by kinds and types.
        numbers: What it computes in, as `kernel_source` takes it.
        interleaved: Whether the two lie in turn; else they are the halves of each row.
    """
    kinds, given = [], []
    kept = []  # copies live until they have been read
    for i, argument in enumerate(arguments):
        if i != at and isinstance(argument, Tensor):
            argument = _laid_out(argument, order)
            kept.append(argument)
        kinds += [DTYPES[argument.dtype] if isinstance(argument, Tensor) else NUMBER] * (2 if i == at else 1)
        given.append(address(argument) if isinstance(argument, Tensor) else argument)
    width, count, single = order.shape[-1], order.numel(), out.shape == order.shape
    outputs = (DTYPES[out.dtype],) * (1 if single else 2)
    targets = [out.data_ptr()]
    if not interleaved:
        given.insert(at + 1, given[at] + width * arguments[at].element_size())
        targets += [targets[0] + width * out.element_size()] * (not single)
    by_row = not interleaved and count > width  # the halves of one row are no different from two tensors
    key = (*kinds, *outputs, "rows" if by_row else "interleaved" if interleaved else "row")
    kernel = kernels.get(key)
    if kernel is None:
        made = make_packed if by_row or interleaved else make
        options = (at, interleaved) if by_row or interleaved else ()
        kernel = kernels[key] = made(name, source, tuple(kinds), outputs, numbers, *options)
    threads = min(torch.get_num_threads(), 1 + count // SHARE)
    if by_row:
        kernel(count // width, threads, *targets, *given, width)
    else:
        kernel(count, threads, *targets, *given)


def make_packed(
    name: str, source: str, kinds: tuple[str, ...], outputs: tuple[str, ...], numbers: str, at: int, interleaved: bool
) -> Kernel:
    """The kernel of a generated torch function of which the argument `at` and the next share a tensor."""
    key = (name, source, kinds, outputs, numbers, at, interleaved)
    kernel = KERNELS.get(key)
    if kernel is None:
        of_tensors = functools.partial(kernel_source, name, source, kinds, outputs, numbers)
        fields = ["Q"] * len(outputs) + ["d" if kind == NUMBER else "Q" for kind in kinds]
        if interleaved:  # two tensors have one address
            del fields[len(outputs) + at], fields[1 : len(outputs)]
            write = functools.partial(of_tensors, at)
        else:
            write, fields = lambda: by_rows(of_tensors(), kinds, outputs, at), [*fields, "Q"]
        kernel = KERNELS[key] = Kernel(write, "".join(fields), unit=64 if interleaved else 1)
    return kernel


def by_rows(text: str, kinds: Sequence[str], outputs: Sequence[str], at: int) -> str:
    """A loop that does what `kernel_source` gave once for each row.

    Args:
        text: What it gave.
        kinds: As there.
        outputs: As there.
        at: The first of two arguments that are the halves of each row; so are two results, if there are two.

    Returns:
        A module likewise; `data` holds the number of rows, addresses and numbers, and the width of half a row.
    """
    wide = {len(outputs) + at, len(outputs) + at + 1} | ({0, 1} if len(outputs) > 1 else set())
    fields = [*outputs, *kinds]
    lines = [f"%row = alloca [{len(fields) + 1} x i64]", *_field("width", len(fields) + 1)]
    lines += ["br label %head", "head:", "%at = phi i64 [%begin, %entry], [%next, %inside]"]
    lines += ["%more = icmp ult i64 %at, %end", "br i1 %more, label %inside, label %after", "inside:"]
    lines += ["%begun = mul i64 %width, %at"]
    for i, kind in enumerate(fields):
        lines += _field(f"first{i}", i + 1)
        size = 0 if kind == NUMBER else SIZES[STORED[kind]] << (i in wide)  # numbers are the same for all rows
        lines += [f"%over{i} = mul i64 %begun, {size}", f"%here{i} = add i64 %first{i}, %over{i}"]
        lines += [f"%place{i} = getelementptr i64, ptr %row, i64 {i + 1}", f"store i64 %here{i}, ptr %place{i}"]
    lines += ["call void @one_row(i64 0, i64 %width, i64 %thread, ptr %row)"]
    lines += ["%next = add i64 %at, 1", "br label %head", "after:", "ret void"]
    body = "\n".join(line if line.endswith(":") else f"  {line}" for line in lines)
    inner = text.replace("define void @span(", "define internal void @one_row(")
    return f"{inner}define void @span(i64 %begin, i64 %end, i64 %thread, ptr %data) #0 {{\nentry:\n{body}\n}}\n"


def _field(name: str, number: int) -> list[str]:
    return [f"%{name}_at = getelementptr i64, ptr %data, i64 {number}", f"%{name} = load i64, ptr %{name}_at, align 8"]


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
