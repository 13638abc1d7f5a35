"""Functions whose derivatives are functions of the same kind, as torch meets them.

What such a function computes is its own affair. Whatever asks for it, be it autograd in either mode, `torch.vmap`,
`torch.func`, a compiler, a tracer or a mode that listens, is answered here, for all of them alike.
"""

import functools
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
        tensors_alone: Whether all that it is given are tensors, whatever the arguments.
    """

    name: str
    public: Callable
    keeps_output = False
    tensors_alone = False

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

    def _in_graph(self, *arguments: object) -> Tensor | tuple[Tensor, ...]:
        return self.compute(*arguments)

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

    def pull(self, wanted: tuple[int, ...]) -> Callable[..., Tensor | tuple[Tensor, ...]]:
        """What gives the gradients of the wanted arguments, of those of the outputs and of what was kept."""
        raise NotImplementedError

    def push(self, tangents: Sequence[Tensor | None], kept: Arguments) -> Tensor | tuple[Tensor, ...]:
        """The tangents of the outputs, given those of the arguments, None for one that rests, and what was kept."""
        raise NotImplementedError

    def batched(self, size: int, dims: Sequence[int | None], arguments: Arguments) -> Arguments:
        """The arguments for a batch of so many, which is to be in front; `dims` says where it is now."""
        raise NotImplementedError

    @functools.cached_property
    def at_once(self) -> Callable[..., Tensor | tuple[Tensor, ...]]:
        """The outputs, of what computes them and the arguments, so that autograd finds the derivative.

        No transform of `torch.func` may be active, nor an argument be left over from one.
        """
        # Here torch goes on when it has seen to that.
        return super(torch.autograd.Function, self._autograd_function).apply

    @functools.cached_property
    def _autograd_function(self) -> type[torch.autograd.Function]:
        return _autograd_function(self)

    @functools.cached_property
    def backwards(self) -> "_Backwards":
        """What backward does, by what autograd asks for."""
        return _Backwards(self)

    def _prepare(self) -> None:
        if not hasattr(self, "_leaves"):
            self._leaves = (leaf(self.name, self._in_graph),)  # in a tuple: torch 2.7 looks into an attribute

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
        return _Apply.apply(function, *arguments)
    if forward_ad._current_level >= 0 or needs_gradient(arguments):
        return function._autograd_function.apply(function.run, *arguments)
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
    """Any such function, where transforms of `torch.func` may be active."""

    @staticmethod
    def forward(function, *arguments):
        return function.run(*arguments)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.function, *arguments = inputs
        ctx.save_for_forward(*_keep(ctx, ctx.function, arguments, output))

    @staticmethod
    def backward(ctx, *upstream):
        return ctx.function.backwards[ctx.needs_input_grad](*upstream, *_kept(ctx, ctx.function))

    @staticmethod
    def jvp(ctx, _, *tangents):
        return ctx.function.push(tangents, _kept(ctx, ctx.function))

    @staticmethod
    def vmap(info, in_dims, function, *arguments):
        outputs = function.step(*function.batched(info.batch_size, in_dims[1:], arguments))
        return outputs, 0 if isinstance(outputs, Tensor) else (0,) * len(outputs)


def _autograd_function(function: Differentiable) -> type[torch.autograd.Function]:
    """The same for one function and in one step, where no transform is active: torch takes a third of the time.

    It takes what computes the outputs, and the arguments.
    """
    alone, keeps_output, backwards = function.tensors_alone, function.keeps_output, function.backwards

    class AtOnce(torch.autograd.Function):
        @staticmethod
        def forward(ctx, run, *arguments):
            output = run(*arguments)
            if not alone or keeps_output:
                tensors = _keep(ctx, function, arguments, output)
            else:
                tensors = arguments
                ctx.save_for_backward(*arguments)
            if forward_ad._current_level >= 0:
                ctx.save_for_forward(*tensors)
            return output

        @staticmethod
        def backward(ctx, *upstream):
            kept = ctx.saved_tensors if alone else _kept(ctx, function)
            return backwards[ctx.needs_input_grad](*upstream, *kept)

        @staticmethod
        def jvp(ctx, _, *tangents):
            return function.push(tangents, _kept(ctx, function))

    return AtOnce


class _Backwards(dict):
    """What gives the gradients of all that autograd is handed, by which of them are needed; made once each.

    A function, or what runs it, comes before the arguments.
    """

    def __init__(self, function: Differentiable):
        self._function = function

    def __missing__(self, needed: tuple[bool, ...]) -> Callable[..., tuple[Tensor | None, ...]]:
        self[needed] = made = self._made(needed)
        return made

    def _made(self, needed):
        places = [i for i, is_needed in enumerate(needed) if is_needed]
        if not places:
            return lambda *_: (None,) * len(needed)
        pull = self._function.pull(tuple(i - 1 for i in places))
        if len(places) == 1:
            before, after = (None,) * places[0], (None,) * (len(needed) - 1 - places[0])
            return lambda *given: (*before, pull(*given), *after)

        def several(*given):
            gradients = [None] * len(needed)
            for place, gradient in zip(places, pull(*given), strict=True):
                gradients[place] = gradient
            return tuple(gradients)

        return several


_HERE = object()
"""Stands among arguments for a tensor, which autograd keeps."""


def _keep(ctx, function: Differentiable, arguments: Arguments, output: object) -> Sequence[Tensor]:
    """Keeps what backward is given; returns the tensors among it."""
    given = (output,) if function.keeps_output else arguments
    if not function.tensors_alone:
        ctx.given = [_HERE if isinstance(a, Tensor) else a for a in given]
        given = [a for a in given if isinstance(a, Tensor)]
    ctx.save_for_backward(*given)
    return given


def _kept(ctx, function: Differentiable) -> Arguments:
    """What was kept, in order."""
    if function.tensors_alone:
        return ctx.saved_tensors
    tensors = iter(ctx.saved_tensors)
    return [next(tensors) if a is _HERE else a for a in ctx.given]
