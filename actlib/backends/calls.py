"""The way of a call to machine code, written out once for each number of arguments: nothing is looked up twice on it.

On a few numbers a kernel works for some nanoseconds, and all else that a call takes is the way there. What needs
nothing special goes it in the steps below. What does not pass their conditions goes the long way, where each case is
told from the others and bad input is refused in words.
"""

import functools
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.overrides import has_torch_function

from actlib.backends import torch_runner
from actlib.differentiable import Differentiable

Launch = Callable[..., Tensor | tuple[Tensor, ...]]
"""Computes the outputs of arguments that pass the conditions."""

CONDITIONS = """\
not has_torch_function(arguments)
compiler_in_force() is None
keys_in_force().raw_repr() in UNHEARD
forward_ad._current_level < 0
"""
"""That nobody listens: no compiler, neither classes nor modes, tracers or transforms, nor autograd in forward mode."""

OF_A_TENSOR = """\
type({x}) in CLASSES
keys_of({x}).raw_repr() in PLAIN
{x}.numel() > 0
{x}.is_contiguous()
"""
"""That a tensor has elements, which may be read one after the other from its address."""

OF_ANOTHER = """\
{x}.dtype is x0.dtype
{x}.shape == x0.shape
"""

OF_A_NUMBER = "(type({p}) is float and -BEYOND < {p} < BEYOND or type({p}) is int and -EXACT < {p} < EXACT)"


def conditions(inputs: int, numbers: int = 0) -> str:
    """What must hold for `arguments`, as one condition in Python.

    Args:
        inputs: How many tensors there are, x0, x1 and so on, which must be of one type and shape.
        numbers: How many numbers follow, p0, p1 and so on.
    """
    tensors = [f"x{i}" for i in range(inputs)]
    lines = CONDITIONS.splitlines()
    lines += [line.format(x=x) for x in tensors for line in OF_A_TENSOR.splitlines()]
    lines += [line.format(x=x) for x in tensors[1:] for line in OF_ANOTHER.splitlines()]
    lines += [OF_A_NUMBER.format(p=f"p{i}") for i in range(numbers)]
    return " and ".join(lines)


@functools.cache
def fits(inputs: int) -> Callable[[Sequence[object]], bool]:
    """A function that says of so many arguments whether they are tensors that pass the conditions."""
    names = ", ".join(f"x{i}" for i in range(inputs))
    return _defined(
        f"""\
def fits(arguments):
    {names}, = arguments
    return {conditions(inputs)}
"""
    )


def call(
    function: Differentiable,
    inputs: int,
    numbers: int,
    launches: Mapping[torch.dtype, Launch | None],
    otherwise: Callable,
) -> Callable:
    """The function as it is called.

    Args:
        function: For autograd.
        inputs: How many tensors it takes.
        numbers: How many numbers follow.
        launches: What computes its outputs, by the type of the tensors; None if nothing does.
        otherwise: The function for arguments that do not pass the conditions.
    """
    return _calls(inputs, numbers)(function, launches, otherwise)


@functools.cache
def _calls(inputs: int, numbers: int) -> Callable:
    tensors = [f"x{i}" for i in range(inputs)]
    names = ", ".join([*tensors, *(f"p{i}" for i in range(numbers))])
    return _defined(
        f"""\
def prepare(function, launches, otherwise):
    def call(*arguments):
        if len(arguments) == {inputs + numbers}:
            {names}, = arguments
            if {conditions(inputs, numbers)}:
                launch = launches[x0.dtype]
                if launch is not None:
                    if is_grad_enabled() and ({" or ".join(f"{x}.requires_grad" for x in tensors)}):
                        return function.at_once(launch, {names})
                    return launch({names})
        return otherwise(*arguments)

    return call
"""
    )


def launch(kernel, inputs: int, numbers: int, outputs: Sequence[torch.dtype | None]) -> Launch:
    """What runs a kernel on arguments that pass the conditions.

    Args:
        kernel: An `llvm_runner.Kernel`.
        inputs: How many tensors there are.
        numbers: How many numbers follow.
        outputs: Type of each result; None for that of the tensors.
    """
    return _launches(inputs, numbers, tuple(outputs))(kernel)


@functools.cache
def _launches(inputs: int, numbers: int, outputs: tuple[torch.dtype | None, ...]) -> Callable:
    tensors = [f"x{i}" for i in range(inputs)]
    parameters = [f"p{i}" for i in range(numbers)]
    results = [f"out{i}" for i in range(len(outputs))]
    made = [
        f"{out} = empty_like(x0{'' if dtype is None else f', dtype={dtype}'})"
        for out, dtype in zip(results, outputs, strict=True)
    ]
    places = [f"{out}.data_ptr()" for out in results] + [f"{x}.data_ptr() or address({x})" for x in tensors]
    return _defined(
        f"""\
def prepare(kernel):
    pack, whole, for_results = kernel.pack, kernel.whole, kernel.for_results

    def launch({", ".join(tensors + parameters)}):
        {"; ".join(made)}
        count = x0.numel()
        data = pack(count, {", ".join(places + parameters)})
        if count < SHARE:
            whole(data)
        else:
            for_results({", ".join(results)}).shared(data, min(get_num_threads(), 1 + count // SHARE))
        return {", ".join(results)}

    return launch
"""
    )


def _defined(source: str) -> Callable:
    """The function that a source defines, with lines that tracebacks can show."""
    defined = {}
    exec(compile(source, torch_runner.with_lines("call", source), "exec"), _NAMES, defined)
    (function,) = defined.values()
    return function


SHARE = 1 << 15
"""Elements that are worth a thread of their own."""

_NAMES = {
    "torch": torch,
    "forward_ad": forward_ad,
    "has_torch_function": has_torch_function,
    "compiler_in_force": torch_runner.compiler_in_force,
    "keys_of": torch_runner.keys_of,
    "keys_in_force": torch_runner.keys_in_force,
    "PLAIN": torch_runner.PLAIN,
    "UNHEARD": torch_runner.UNHEARD,
    "CLASSES": frozenset({Tensor, torch.nn.Parameter}),
    "BEYOND": torch_runner.BEYOND,
    "EXACT": 1 << 53,
    "SHARE": SHARE,
    "is_grad_enabled": torch.is_grad_enabled,
    "address": torch_runner.address,
    "empty_like": torch.empty_like,
    "get_num_threads": torch.get_num_threads,
}
"""What the sources call."""
