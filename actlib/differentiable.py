"""Functions whose derivatives are functions of the same kind, as torch meets them.

What such a function computes is its own affair. Whatever asks for it, be it autograd in either mode, `torch.vmap`,
`torch.func`, a compiler, a tracer or a mode that listens, is answered here, for all of them alike.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.compiler import is_compiling
from torch.overrides import handle_torch_function, has_torch_function

Arguments = Sequence[object]
"""Tensors, and whatever else a function takes: it has no derivative."""


class Differentiable:
    """A function of tensors, as a base for what says how it is computed and differentiated.

    Attributes:
        name: An identifier, which stands for it in graphs.
        public: What those meet who listen to torch's functions, as in a graph of torch.fx; they ask for its names.
        keeps_output: Whether backward is given the output, in place of the arguments.
    """

    name: str
    public: Callable
    keeps_output = False

    def __call__(self, *arguments: object) -> Tensor | tuple[Tensor, ...]:
        """The outputs, as the class describes."""
        if is_compiling():
            self._prepare()
            return self._leaves[0](*arguments)
        return self.compute(*arguments)

    def __deepcopy__(self, memo):
        return self  # nothing in it ever changes

    def compute(self, *arguments: object) -> Tensor | tuple[Tensor, ...]:
        """The outputs where no compiler looks on; whoever else listens is told."""
        if has_torch_function(arguments):  # classes and modes that have a say in what torch's functions do
            return self.announce(*arguments)
        return in_general(self, self.fitting(arguments))

    def announce(self, *arguments: object) -> object:
        """What those make of the call who listen to torch's functions."""
        return handle_torch_function(self.public, arguments, *arguments)

    def fitting(self, arguments: Arguments) -> Arguments:
        """The arguments as `run` takes them; an error where they do not fit."""
        return arguments

    def step(self, *arguments: object) -> Tensor | tuple[Tensor, ...]:
        """The outputs, differentiably, for arguments that fit: a step within a derivative."""
        return in_general(self, arguments)

    def run(self, *arguments: object) -> Tensor | tuple[Tensor, ...]:
        """The outputs for arguments that fit, where autograd does not look."""
        raise NotImplementedError

    def record(self, *arguments: object) -> Tensor | tuple[Tensor, ...]:
        """The outputs in torch's operations, which torch itself differentiates."""
        raise NotImplementedError

    def pull(self, wanted: tuple[int, ...], upstream: Sequence[Tensor], kept: Arguments) -> Sequence[Tensor]:
        """The gradients of the wanted arguments, given one of each output, and what was kept."""
        raise NotImplementedError

    def push(self, tangents: Sequence[Tensor | None], kept: Arguments) -> Tensor | tuple[Tensor, ...]:
        """The tangents of the outputs, given those of the arguments, None for one that rests, and what was kept."""
        raise NotImplementedError

    def batched(self, size: int, dims: Sequence[int | None], arguments: Arguments) -> Arguments:
        """The arguments for a batch of so many, which is to be in front; `dims` says where it is now."""
        raise NotImplementedError

    def _prepare(self) -> None:
        if not hasattr(self, "_leaves"):
            self._leaves = (leaf(self.name, self.compute),)  # in a tuple: torch 2.7 looks into an attribute

    # torch.compile calls it instead of looking into it, when it begins. Its own way to say so takes seconds to import:
    # torch.compiler.assume_constant_result.
    _prepare._dynamo_marked_constant = True


def leaf(name: str, function: Callable) -> Callable:
    """A function that torch.compile puts into its graph as one call, and that only what lowers the graph looks into.

    Before each call of a compiled function, torch checks all that was looked at when it was compiled.
    """

    def call(*arguments):
        return function(*arguments)

    call.__name__ = call.__qualname__ = name
    call.__code__ = call.__code__.replace(co_name=name)  # by their code, torch tells functions from each other
    return torch.compiler.allow_in_graph(call)


def in_general(function: Differentiable, arguments: Arguments) -> Tensor | tuple[Tensor, ...]:
    """The outputs, by the quickest way on which autograd, if it looks, sees the derivative."""
    if is_recorded():
        return function.record(*arguments)
    if torch._C._are_functorch_transforms_active():
        return _Apply.apply(function, function.run, *arguments)
    if forward_ad._current_level >= 0 or needs_gradient(arguments):
        return at_once(function, function.run, *arguments)
    return function.run(*arguments)


def is_recorded() -> bool:
    """Whether torch.jit.trace or torch.func.functionalize listens, which know torch's operations alone."""
    if torch._C._get_tracing_state() is not None:
        return True
    if not torch._C._are_functorch_transforms_active():
        return False
    functionalize = torch._C._functorch.TransformType.Functionalize
    return any(interpreter.key() == functionalize for interpreter in torch._C._functorch.get_interpreter_stack())


def needs_gradient(arguments: Arguments) -> bool:
    """Whether autograd must see what is done to the arguments."""
    if torch.is_grad_enabled():
        for a in arguments:
            if isinstance(a, Tensor) and a.requires_grad:
                return True
    return False


class _Apply(torch.autograd.Function):
    """Any such function: its arguments are kept, or its output, and its derivative is a function again."""

    @staticmethod
    def forward(function, run, *arguments):  # noqa: ARG004
        return run(*arguments)

    @staticmethod
    def setup_context(ctx, inputs, output):
        function, _, *arguments = inputs
        ctx.save_for_forward(*_keep(ctx, function, arguments, output))

    @staticmethod
    def backward(ctx, *upstream):
        wanted = tuple([i for i, needed in enumerate(ctx.needs_input_grad[2:]) if needed])
        gradients = [None] * len(ctx.needs_input_grad)
        if wanted:
            for i, gradient in zip(wanted, ctx.function.pull(wanted, upstream, _kept(ctx)), strict=True):
                gradients[2 + i] = gradient
        return tuple(gradients)

    @staticmethod
    def jvp(ctx, function, run, *tangents):  # noqa: ARG004
        return ctx.function.push(tangents, _kept(ctx))

    @staticmethod
    def vmap(info, in_dims, function, run, *arguments):  # noqa: ARG004
        outputs = function.step(*function.batched(info.batch_size, in_dims[2:], arguments))
        return outputs, 0 if isinstance(outputs, Tensor) else (0,) * len(outputs)


class _ApplyAtOnce(torch.autograd.Function):
    """The same in one step, where no transform of `torch.func` is active: torch calls it in a third of the time."""

    @staticmethod
    def forward(ctx, function, run, *arguments):
        output = run(*arguments)
        tensors = _keep(ctx, function, arguments, output)
        if forward_ad._current_level >= 0:
            ctx.save_for_forward(*tensors)
        return output

    backward = staticmethod(_Apply.backward)
    jvp = staticmethod(_Apply.jvp)


# What torch does itself when it has seen that no transform is active; so has the one who calls this.
at_once: Callable = super(torch.autograd.Function, _ApplyAtOnce).apply
"""The outputs of a function, as `run` computes them for the arguments, so that autograd can find the derivative.

It takes the function, `run` and the arguments.
"""

_HERE = object()
"""Stands among arguments for a tensor, which autograd keeps."""


def _keep(ctx, function: Differentiable, arguments: Arguments, output: object) -> Sequence[Tensor]:
    """Keeps what backward is given; returns the tensors among it."""
    ctx.function = function
    given = (output,) if function.keeps_output else arguments
    tensors = [a for a in given if isinstance(a, Tensor)]
    ctx.given = None if len(tensors) == len(given) else [_HERE if isinstance(a, Tensor) else a for a in given]
    ctx.save_for_backward(*tensors)
    return tensors


def _kept(ctx) -> Arguments:
    """What was kept, in order."""
    if ctx.given is None:
        return ctx.saved_tensors
    tensors = iter(ctx.saved_tensors)
    return [next(tensors) if a is _HERE else a for a in ctx.given]
