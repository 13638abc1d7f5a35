"""What is compared: actlib, what a user would pick instead, and how each of them is called."""

import functools
import importlib
import importlib.metadata
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from actlib import ACTIVATIONS

IN_DEPTH = ("sigmoid", "tanh", "elu", "silu", "gelu", "gelu_tanh", "swiglu", "softmax")
"""The functions of the bars: at every size, and beside every peer."""
COPY, TORCH, OURS = "copy", "torch", "actlib"
YARDSTICK = "torch relu"  # the cheapest activation there is
COMPILED = " compiled"
VALUE, GRADIENT, BOTH = TASKS = ("value", "gradient", "value and gradient")
"""Gradient alone is backward, the forward pass done before."""
STEP = "training step"
"""Not of a function alone: see `steps.py`."""
IN_STEPS = ("silu", "tanh", "relu")
"""The functions of which training steps are measured."""
ROWS = (128, 1024, 8192, 65536, 262144)
"""Lengths of rows at which softmax is measured."""
WIDTH = 8192
"""Length of the rows in which Liger gets elementwise functions: it computes a row at a time."""
INSTALL = "pip install -e .[bench]"


@dataclass(frozen=True)
class Case:
    """A function at a size.

    Attributes:
        function: Its name in the registry.
        dtype: Type of inputs and results.
        elements: How many each of them has.
        row: Length of the rows of a function of rows, else None.
        device: Where they are.
        tasks: What is measured of it.
        compiled: Which contenders are also measured compiled.
        compiled_tasks: In which tasks these are.
    """

    function: str
    dtype: torch.dtype
    elements: int
    row: int | None
    device: torch.device
    tasks: tuple[str, ...] = TASKS
    compiled: tuple[str, ...] = ()
    compiled_tasks: tuple[str, ...] = TASKS

    @property
    def inputs(self) -> int:
        """How many inputs the function takes."""
        activation = ACTIVATIONS[self.function]
        return 1 if activation.op is None else len(activation.inputs)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of an input: rows of their length, or of one that Liger takes."""
        width = self.row or math.gcd(self.elements, WIDTH)
        return (self.elements // width, width)

    @property
    def key(self) -> dict:
        """What tells it from other cases in the results."""
        named = {"function": self.function, "dtype": str(self.dtype).removeprefix("torch."), "elements": self.elements}
        return named | ({"row": self.row} if self.row else {})

    def bytes_to_copy(self, task: str) -> float:
        """The least that a task must move through memory, in times of what a copy of one input moves.

        Forward reads the inputs and writes the output; backward reads the inputs and the gradient at the output and
        writes a gradient for each input.
        """
        forward, backward = self.inputs + 1, 2 * self.inputs + 1
        return {VALUE: forward, GRADIENT: backward, BOTH: forward + backward}[task] / 2


Sets = Sequence[tuple[tuple[Tensor, ...], Tensor]]
"""Inputs, none of which requires a gradient, and the gradient at the output; several times over."""
Calls = list[Callable[[], object]]
"""A task, as one call without arguments for each of the sets."""


@dataclass(frozen=True)
class Peer:
    """One of those compared: a torch function, or something that calls for a subclass.

    Attributes:
        name: As in the results.
        package: The distribution that it comes from.
        function: From a case to the function of its inputs; None for a function that it does not have.
        devices: Types of the devices on which it is compared.
        takes: How many of the inputs it takes; None for all.
        spoils_inputs: Whether it writes into them, so that it needs some of its own.
    """

    name: str
    package: str
    function: Callable[[Case], Callable | None]
    devices: tuple[str, ...] = ("cpu", "cuda")
    takes: int | None = None
    spoils_inputs: bool = False

    def missing(self, device: torch.device) -> dict | None:
        """Why it cannot be compared, and what to do about it; None if it can."""
        if device.type not in self.devices:
            kinds = " and ".join({"cpu": "CPUs", "cuda": "GPUs"}[d] for d in self.devices)
            return {"name": self.name, "reason": f"compared on {kinds} alone", "install": None}
        try:
            importlib.import_module(IMPORTED.get(self.package, self.package))
        except ImportError as error:
            return {"name": self.name, "reason": str(error), "install": INSTALL}
        return None

    def calls(self, case: Case, task: str, sets: Sets) -> Calls | None:
        """The calls that a task consists of; None for a function that it does not have."""
        function = self.function(case)
        if function is None:
            return None
        sets = [(xs[: self.takes], g) for xs, g in sets]
        if task == VALUE:
            return [functools.partial(function, *xs) for xs, _ in sets]
        leaves = [(tuple(x.detach().requires_grad_() for x in xs), g) for xs, g in sets]
        if task == BOTH:
            return [functools.partial(value_and_gradient, function, xs, g) for xs, g in leaves]
        graphs = [(function(*xs), xs, g) for xs, g in leaves]
        return [functools.partial(torch.autograd.grad, y, xs, g, retain_graph=True) for y, xs, g in graphs]

    def results(self, made: object) -> tuple[Tensor, ...]:
        """What a call has given, as tensors."""
        return (made,) if isinstance(made, Tensor) else tuple(made)

    def kept(self, case: Case, inputs: Sequence[Tensor]) -> dict[str, int]:
        """Bytes that are kept from forward until backward, each storage counted once.

        Returns:
            "kept", all of them; "kept inputs" and "kept output", how many of these the caller has anyhow.
        """
        leaves = [x.detach().requires_grad_() for x in inputs[: self.takes]]
        storages = {}

        def pack(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            output = self.function(case)(*leaves)
        of_inputs = sum(storages.get(x.untyped_storage().data_ptr(), 0) for x in leaves)
        of_output = storages.get(output.untyped_storage().data_ptr(), 0)
        return {"kept": sum(storages.values()), "kept inputs": of_inputs, "kept output": of_output}


IMPORTED = {"liger-kernel": "liger_kernel.ops"}
"""Under what name a package is imported, where that is another."""


def value_and_gradient(function: Callable, xs: tuple[Tensor, ...], g: Tensor) -> tuple[Tensor, ...]:
    """Forward and backward, both results alive at the end."""
    y = function(*xs)
    return (y, *torch.autograd.grad(y, xs, g))


def function_of(name: str, case: Case) -> Callable | None:
    """The function that the case names, as actlib or torch has it; None if torch has none."""
    activation = ACTIVATIONS[case.function]
    function = activation.function if name == OURS else activation.torch
    if function is None or not case.row:
        return function
    return lambda x: function(x, -1)


@functools.lru_cache(maxsize=2)
def compiled(name: str, case: Case) -> Callable | None:
    """That function under torch.compile, one for all tasks of a case; None where the case does not ask for it."""
    function = function_of(name, case) if name in case.compiled else None
    return function and torch.compile(function, fullgraph=True, dynamic=False)


class CompiledPeer(Peer):
    """A function under torch.compile, in the tasks for which the case asks for it."""

    def calls(self, case: Case, task: str, sets: Sets) -> Calls | None:
        """The calls that a task consists of."""
        return super().calls(case, task, sets) if task in case.compiled_tasks else None


def liger(case: Case) -> Callable | None:
    """Liger's function. Its GEGLU is that of the tanh form."""
    from liger_kernel import ops

    functions = {
        "swiglu": ops.LigerSiLUMulFunction,
        "geglu": ops.LigerGELUMulFunction,
        "softmax": ops.LigerSoftmaxFunction,
    }
    return functions[case.function].apply if case.function in functions else None


def jax_function(case: Case) -> Callable | None:
    """JAX's function of JAX's arrays."""
    import jax

    functions = {
        "sigmoid": jax.nn.sigmoid,
        "tanh": jax.numpy.tanh,
        "elu": jax.nn.elu,
        "silu": jax.nn.silu,
        "gelu": functools.partial(jax.nn.gelu, approximate=False),
        "gelu_tanh": functools.partial(jax.nn.gelu, approximate=True),
        "swiglu": lambda a, b: jax.nn.silu(a) * b,
        "softmax": jax.nn.softmax,
    }
    return functions.get(case.function)


class JaxPeer(Peer):
    """JAX's functions under jit; each call waits for its result."""

    def calls(self, case: Case, task: str, sets: Sets) -> Calls | None:
        """The calls that a task consists of."""
        import jax

        function = self.function(case)
        if function is None:
            return None
        start_jax(torch.get_num_threads())
        arrays = [(tuple(map(jax.numpy.from_dlpack, xs)), jax.numpy.from_dlpack(g)) for xs, g in sets]

        def both(g, *xs):
            y, pullback = jax.vjp(function, *xs)
            return y, *pullback(g)

        if task == VALUE:
            run, arguments = jax.jit(function), [xs for xs, _ in arrays]
        elif task == BOTH:
            run, arguments = jax.jit(both), [(g, *xs) for xs, g in arrays]
        else:
            forward = jax.jit(lambda *xs: jax.vjp(function, *xs)[1])
            run, arguments = jax.jit(lambda pullback, g: pullback(g)), [(forward(*xs), g) for xs, g in arrays]
        return [lambda some=some: jax.block_until_ready(run(*some)) for some in arguments]

    def results(self, made: object) -> tuple[Tensor, ...]:
        """What a call has given, as tensors."""
        return tuple(map(torch.from_dlpack, made if isinstance(made, tuple | list) else [made]))

    def kept(self, case: Case, inputs: Sequence[Tensor]) -> dict[str, int]:
        """Bytes that jit hands from forward to backward where these are called one after the other."""
        import jax

        arrays = [jax.numpy.from_dlpack(x) for x in inputs]
        output, pullback = jax.jit(lambda *xs: jax.vjp(self.function(case), *xs))(*arrays)
        held = {a.unsafe_buffer_pointer(): a.nbytes for a in jax.tree_util.tree_leaves(pullback)}
        of_inputs = sum(held.get(a.unsafe_buffer_pointer(), 0) for a in arrays)
        of_output = held.get(output.unsafe_buffer_pointer(), 0)
        return {"kept": sum(held.values()), "kept inputs": of_inputs, "kept output": of_output}


@functools.cache
def start_jax(threads: int) -> None:
    """Starts JAX on the CPU with as many threads as torch has."""
    import jax

    jax.config.update("jax_platforms", "cpu")
    # XLA makes its pool once, with a thread for each processor that the thread asking first may run on, and these keep
    # its mask. So the mask is narrowed for that moment alone; torch's threads, made before or later, do not have it.
    with processors(threads):
        jax.numpy.zeros(1).block_until_ready()


@contextmanager
def processors(count: int) -> Iterator[None]:
    """Holds this thread, and those that it starts, on so many processors, where the system can."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


PEERS = (
    Peer(YARDSTICK, "torch", lambda _: torch.relu, takes=1),
    Peer(TORCH, "torch", functools.partial(function_of, TORCH)),
    CompiledPeer(TORCH + COMPILED, "torch", functools.partial(compiled, TORCH)),
    Peer(OURS, "actlib", functools.partial(function_of, OURS)),
    CompiledPeer(OURS + COMPILED, "actlib", functools.partial(compiled, OURS)),
    JaxPeer("jax", "jax", jax_function, devices=("cpu",)),
    Peer("liger", "liger-kernel", liger, devices=("cuda",), spoils_inputs=True),
)
"""All that take turns with the copy."""


def versions() -> dict[str, str]:
    """Versions of all that takes part, as far as it is installed."""
    found = {}
    for package in ("torch", "triton", "sympy", "numpy", "llvmlite", "jax", "jaxlib", "liger-kernel"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
