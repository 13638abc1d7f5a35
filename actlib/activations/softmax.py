"""Softmax and its logarithm, which map whole rows: functions of their own, closed under differentiation.

Backward takes the input, not the output: from a probability that was rounded to 1 no slope can be had. With
p = softmax(x), the Jacobian of softmax is diag(p) - p p^T, that of its logarithm I - 1 p^T.
"""

import functools
import numbers
import warnings
from collections.abc import Callable, Sequence
from types import ModuleType

import sympy as sp
import torch
from sympy import Expr, Symbol
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function

from actlib import elementwise
from actlib.activations.activation import RowActivation
from actlib.backends import calls, torch_runner
from actlib.differentiable import Differentiable, in_general, needs_gradient
from actlib.elementwise import FLOATS
from actlib.formula.primitives import sigma, softplus
from actlib.layer import Generated


def row(scores: Sequence[Symbol]) -> list[Expr]:
    """The formula: the probability of each of the scores, exp(x_i) / sum_j exp(x_j), in primitives.

    It is sigma(x_i - log-sum-exp of the others), since of two scores softmax is the sigmoid of their difference.
    """
    return [sigma(x - logsumexp([*scores[:i], *scores[i + 1 :]])) for i, x in enumerate(scores)]


def log_row(scores: Sequence[Symbol]) -> list[Expr]:
    """The formula of the logarithm: x_i - log(sum_j exp(x_j)), in primitives."""
    return [-softplus(logsumexp([*scores[:i], *scores[i + 1 :]]) - x) for i, x in enumerate(scores)]


def sink_row(scores: Sequence[Symbol]) -> list[Expr]:
    """The formula with a sink of score 0: exp(x_i) / (1 + sum_j exp(x_j)), in primitives."""
    return row([*scores, sp.Integer(0)])[:-1]


def logsumexp(scores: Sequence[Expr]) -> Expr:
    """log(sum_j exp(x_j)), in primitives: one score after the other."""
    if not scores:
        return -sp.oo
    *others, last = scores
    return last + softplus(logsumexp(others) - last)


def softmax(
    input: Tensor, dim: int | None = None, dtype: torch.dtype | None = None, *, where: Tensor | None = None
) -> Tensor:
    r"""Softmax along a dimension.

    .. math:: \operatorname{softmax}(x)_i = \frac{e^{x_i}}{\sum_j e^{x_j}}

    Drop-in for `torch.softmax` and `torch.nn.functional.softmax`. Backward keeps the input, and `where`.

    In float16 and bfloat16 every entry of the result and of its Jacobian is within 0.55 ulp. On the CPU, where machine
    code runs, so is every gradient in rows of up to 16, whatever comes from upstream; in longer rows it is within half
    an ulp and 2^-20 of the terms that it is the sum of. In float32, results and gradients that are normal numbers are
    within 1 ulp there, unless terms cancel to less than 2^-70 of their size. On GPUs that are half as fast in float64
    as in float32 they are within 1 ulp, too, unless terms cancel to less than 2^-20; on others they may be off by
    several.

    A row of -inf alone gives NaN, as in torch. A single +inf takes all, which is the limit; of several none exists,
    and the row is NaN.

    Source: Boltzmann (1868), as the distribution of states over energies; Bridle (1990), who named it.

    Args:
        input: Tensor of float16, bfloat16, float32 or float64, of any shape; other real types where `dtype` is given.
        dim: The dimension along which the results sum to 1. None chooses as torch does, and warns as torch does.
        dtype: Type to which the input is cast first; that of the result.
        where: Boolean tensor that broadcasts to the input: which entries take part. The others get 0, and so does a
            whole row without any, as in `jax.nn.softmax`.

    Returns:
        Contiguous tensor of the same shape. A row with NaN is NaN.

    Raises:
        TypeError: The input is no tensor of these types, `dim` no int, `dtype` none of the four, `where` no boolean
            tensor.
        IndexError: `dim` is out of range.
        ValueError: `where` does not broadcast to the input, or is on another device.
    """
    return _SOFTMAX(input, dim, dtype, where)


def log_softmax(
    input: Tensor, dim: int | None = None, dtype: torch.dtype | None = None, *, where: Tensor | None = None
) -> Tensor:
    r"""Logarithm of softmax along a dimension.

    .. math:: \operatorname{log\,softmax}(x)_i = x_i - \log \sum_j e^{x_j}

    Drop-in for `torch.log_softmax` and `torch.nn.functional.log_softmax`. It keeps its digits where a probability is
    next to 1: the sum is taken without its largest term, and log1p of the rest.

    Source: Blanchard, Higham and Higham (2021), for the computation.

    Arguments, result and errors are those of `softmax`; an entry left out by `where` gets -inf.
    """
    return _LOG_SOFTMAX(input, dim, dtype, where)


def softmax_with_sink(
    input: Tensor,
    dim: int,
    dtype: torch.dtype | None = None,
    *,
    sink: float | Tensor = 0.0,
    where: Tensor | None = None,
) -> Tensor:
    r"""Softmax along a dimension with one more score, the sink, which takes its share and is left out of the result.

    .. math:: \operatorname{softmax}(x; s)_i = \frac{e^{x_i}}{e^s + \sum_j e^{x_j}}

    With a sink of 0 it is softmax "off by one": where all scores are far below 0, each gets next to nothing. A tensor
    for the sink is learnt. It is `softmax` of the scores and the sink, in one copy, which is what backward
    keeps; results and slopes are as exact. A row of -inf alone gives 0.

    Source: Miller (2023), with a sink of 0; Xiao, Tian, Chen, Han and Lewis (2024), as attention sinks; OpenAI (2025),
    gpt-oss, with a learnt one for each head.

    Args:
        input: Tensor of float16, bfloat16, float32 or float64, of any shape; other real types where `dtype` is given.
        dim: The dimension along which the results sum to at most 1.
        dtype: Type to which the input is cast first; that of the result.
        sink: A number, or a tensor that broadcasts to the input and has at most one element along `dim`, such as one
            of shape (heads, 1, 1).
        where: Boolean tensor that broadcasts to the input: which entries take part, as in `softmax`.

    Returns:
        Contiguous tensor of the same shape. A row with NaN is NaN.

    Raises:
        TypeError: As for `softmax`; or `dim` is None, or the sink neither a number nor a tensor of these types.
        IndexError: `dim` is out of range.
        ValueError: `where` or the sink does not broadcast, or is on another device.
    """
    name = "softmax_with_sink"
    if has_torch_function((input, sink, where)):
        listeners = (input, sink, where)
        return handle_torch_function(softmax_with_sink, listeners, input, dim, dtype, sink=sink, where=where)
    if dtype is not None and isinstance(input, Tensor) and dtype in FLOATS and not input.is_complex():
        return softmax_with_sink(input.to(dtype), dim, sink=sink, where=where)
    elementwise.check_tensor(name, "input", input)
    dim = _whole(name, dim)
    if input.ndim == 0:
        return softmax_with_sink(input.reshape(1), dim, dtype, sink=sink, where=where).reshape(())
    _check_in_range(name, dim, input)
    if not torch.compiler.is_compiling():
        torch_runner.check_names(input)
        if torch_runner.are_plain([input], input.device.type):
            torch_runner.address(input)  # torch itself reads memory that has been freed
    if isinstance(sink, elementwise.REALS) and not isinstance(sink, bool):
        sink = torch.full((), sink, dtype=input.dtype, device=input.device)
    elementwise.check_tensor(name, "sink", sink, "a real number or ")
    single = lambda sizes: [1 if i == dim % input.ndim else n for i, n in enumerate(sizes)]
    expected, came = tuple(single(torch_runner.shape(input))), torch_runner.shape(sink)
    if not elementwise.broadcasts(came, expected):
        raise ValueError(
            f"{name}: sink of shape {tuple(came)} does not broadcast to {expected}, the input's shape with one "
            "element along dim"
        )
    shape = single(input.shape)  # which torch.jit.trace writes down
    if sink.device != input.device and sink.ndim:
        raise ValueError(f"{name}: sink is on {sink.device}, the input on {input.device}")
    if where is not None:
        torch_runner.unrecorded(_check_where, name, where, input)
        where = torch.cat([where.expand(input.shape), where.new_ones(shape)], dim)
    column = torch_runner.served(input.new_zeros, [shape], input)
    scores = torch.cat([input, column + sink.to(input.dtype)], dim)
    return softmax(scores, dim, dtype, where=where).narrow(dim, 0, input.shape[dim]).contiguous()


class Softmax(Generated):
    """`softmax` as a layer; drop-in for `torch.nn.Softmax`."""

    function = staticmethod(softmax)

    def __init__(self, dim: int | None = None):
        super().__init__()
        self.dim = None if dim is None else _whole(type(self).__name__, dim)

    def forward(self, input: Tensor) -> Tensor:
        """The function of the rows of the input along `dim`."""
        return self.function(input, self.dim)

    def extra_repr(self) -> str:
        """The dimension."""
        return f"dim={self.dim}"


class LogSoftmax(Softmax):
    """`log_softmax` as a layer; drop-in for `torch.nn.LogSoftmax`."""

    function = staticmethod(log_softmax)


def softmax_of_heads(input: Tensor, dim: int, sink: Tensor) -> Tensor:
    """`softmax_with_sink` with a sink for each head, heads being dimension 1 of the input: the layer's function."""
    if not torch.compiler.is_compiling() and has_torch_function((input, sink)):
        return handle_torch_function(softmax_of_heads, (input, sink), input, dim, sink)
    elementwise.check_tensor("SoftmaxWithSink", "input", input)
    (heads,), shape = torch_runner.shape(sink), torch_runner.shape(input)
    if len(shape) < 3 or shape[1] != heads:
        raise ValueError(
            f"SoftmaxWithSink: the input must have the shape (batch, {heads}, ...), of three dimensions or more, "
            f"but {tuple(shape)} came"
        )
    return softmax_with_sink(input, dim, sink=sink.reshape(-1, *(1,) * (input.ndim - 2)))


class SoftmaxWithSink(Softmax):
    """`softmax_with_sink` as a layer, with a sink of 0 or one that is learnt for each head.

    Parameter: `sink` of shape (heads,), if there are heads, which begins with 0; heads are dimension 1 of the input.

    Args:
        dim: The dimension along which the results sum to at most 1.
        heads: How many sinks are learnt; None for a sink of 0.
        device: Where they are.
        dtype: Their type.

    Raises:
        TypeError: `dim` is no int, `heads` neither that nor None.
        ValueError: `heads` is below 1; later, the input has another number of them.
    """

    function = staticmethod(softmax_with_sink)

    def __init__(
        self,
        dim: int = -1,
        heads: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__(dim)
        _whole(type(self).__name__, dim)
        if heads is not None and (not isinstance(heads, int) or isinstance(heads, bool)):
            raise TypeError(f"SoftmaxWithSink: heads must be an int or None, but {type(heads).__name__} came")
        if heads is not None and heads < 1:
            raise ValueError(f"SoftmaxWithSink: heads must be at least 1, but {heads} came")
        self.sink = None if heads is None else torch.nn.Parameter(torch.zeros(heads, device=device, dtype=dtype))

    def forward(self, input: Tensor) -> Tensor:
        """The function of the rows of the input along `dim`."""
        if self.sink is None:
            return self.function(input, self.dim)
        return softmax_of_heads(input, self.dim, self.sink)

    def extra_repr(self) -> str:
        """The dimension, and how many heads there are."""
        return super().extra_repr() + ("" if self.sink is None else f", heads={len(self.sink)}")


class _OfRows(Differentiable):
    """A map of rows, as a function of the dimension along which they run, a mask or None, and tensors."""

    def pull(self, wanted: tuple[int, ...]) -> Callable[..., Tensor | tuple[Tensor, ...]]:
        """What gives the gradients of the wanted arguments, of that of the result and of the arguments."""

        def pull(upstream, dim, mask, *tensors):
            gradients = self.vjp(dim, mask, upstream, *tensors)
            return gradients[wanted[0] - 2] if len(wanted) == 1 else [gradients[i - 2] for i in wanted]

        return pull

    def push(self, tangents: Sequence[Tensor | None], kept: Sequence[object]) -> Tensor:
        """The tangent of the result, given those of the arguments, None for one that rests, and the arguments."""
        dim, mask, *tensors = kept
        given = zip(tangents[2:], tensors, strict=True)
        return self.jvp(dim, mask, [torch.zeros_like(t) if moved is None else moved for moved, t in given], *tensors)

    def batched(self, size: int, dims: Sequence[int | None], arguments: Sequence[object]) -> list[object]:
        """The arguments with the batch in front; the mask keeps broadcasting from the right."""
        dim, mask, *tensors = arguments
        pairs = zip(tensors, dims[2:], strict=True)
        moved = [t.expand(size, *t.shape) if d is None else t.movedim(d, 0) for t, d in pairs]
        if mask is not None and dims[1] is not None:
            mask = mask.movedim(dims[1], 0)
            mask = mask.reshape(size, *(1,) * (moved[0].ndim - mask.ndim), *mask.shape[1:])
        return [dim + 1, mask, *moved]


class _Operation(_OfRows):
    """Softmax, its logarithm, or the backward of one.

    Args:
        public: The public function that it belongs to.
        logarithm: Whether that is the logarithm.
        inputs: How many tensors it takes.
        function: The results for tensors of the type of computation, along a dimension, in plain torch.
        vjp: The gradients of the tensors, given dimension, mask, upstream gradient and tensors.
        jvp: The tangent of the result, given dimension, mask, tangents and tensors.
        left_out: What an entry gets that the mask leaves out.
    """

    def __init__(
        self,
        public: Callable,
        logarithm: bool,
        inputs: int,
        function: Callable,
        vjp: Callable,
        jvp: Callable,
        left_out: float = 0.0,
    ):
        self.public, self.name, self.logarithm = public, public.__name__, logarithm
        self.function, self.vjp, self.jvp, self.left_out = function, vjp, jvp, left_out
        self._fits = calls.fits(inputs)
        self._launches = _Launches(logarithm, inputs)

    def compute(self, input: Tensor, dim: int | None, dtype: torch.dtype | None, where: Tensor | None) -> Tensor:
        """The public function, where no compiler looks on."""
        result = self._straight(dim, where, (input,)) if dtype is None else None
        if result is not None:
            return result
        if has_torch_function((input, where)):
            return handle_torch_function(self.public, (input, where), input, dim, dtype, where=where)
        return self._checked(input, dim, dtype, where)

    def step(self, dim: int, mask: Tensor | None, *tensors: Tensor) -> Tensor:
        """The result, differentiably, for arguments that fit."""
        result = self._straight(dim, mask, tensors)
        return in_general(self, (dim, mask, *tensors)) if result is None else result

    def _straight(self, dim: object, mask: object, tensors: Sequence[object]) -> Tensor | None:
        """The result, where rows follow each other in memory and nothing special is asked for; else None."""
        if mask is None and type(dim) is int and self._fits(tensors):
            x = tensors[-1]
            last = x.ndim - 1
            launch = self._launches[x.dtype]
            if (dim == -1 or dim == last) and last >= 0 and launch is not None:
                if needs_gradient(tensors):
                    return self.at_once(launch, last, None, *tensors)
                return launch(last, None, *tensors)
        return None

    def _checked(self, input: Tensor, dim: int | None, dtype: torch.dtype | None, where: Tensor | None) -> Tensor:
        name = self.name
        if dtype is not None:
            if dtype not in FLOATS:
                raise TypeError(f"{name}: dtype must be float16, bfloat16, float32 or float64, but {dtype} came")
            if isinstance(input, Tensor) and not input.is_complex():
                return self.compute(input.to(dtype), dim, None, where)
        elementwise.check_tensor(name, "input", input)
        if dim is None:
            warnings.warn(f"{name}: choosing dim is left to the caller; for now it is chosen as in torch", stacklevel=5)
            dim = 0 if input.ndim in (0, 1, 3) else 1
        dim = dim if type(dim) is int else _whole(name, dim)
        _check_in_range(name, dim, input)
        if where is not None:
            torch_runner.unrecorded(_check_where, name, where, input)
        if input.ndim == 0:
            return self.compute(input.reshape(1), 0, None, where).reshape(())
        return self.step(dim % input.ndim, where, input)

    def run(self, dim: int, mask: Tensor | None, *tensors: Tensor) -> Tensor:
        """Computes the result, by machine code of its own where that fits, else in plain torch."""
        x = tensors[-1]
        compute = torch_runner.compute_dtype(x.dtype)
        if x.numel() == 0:
            return torch.empty_like(x, memory_format=torch.contiguous_format)
        if compute == torch.float32 and elementwise.runs_kernels(tensors if mask is None else (*tensors, mask)):
            return self.run_kernel(dim, mask, tensors)
        if compute == torch.float32 and x.is_cpu and elementwise.llvm_runner():
            if elementwise.llvm_runner().takes(tensors):
                return self._masked(mask, tensors, lambda *ts: llvm_softmax().run(self.logarithm, dim, ts))
            if elementwise.llvm_runner().serves_compilers(tensors):
                return self._masked(mask, tensors, lambda *ts: llvm_softmax().softmax(self.logarithm, dim, ts))
            in_memory = torch_runner.resolved(tensors)
            if in_memory is not None:
                return self.run(dim, mask, *in_memory)
        return self.in_plain_torch(dim, mask, tensors, elementwise.plain_compute_dtype(x))

    def run_kernel(self, dim: int, mask: Tensor | None, tensors: Sequence[Tensor]) -> Tensor:
        """Computes the result by the Triton kernel, whatever the device."""
        from actlib.backends import softmax_kernels

        return softmax_kernels.run(self.logarithm, dim, mask, tensors)

    def in_plain_torch(
        self, dim: int, mask: Tensor | None, tensors: Sequence[Tensor], compute: torch.dtype | None = None
    ) -> Tensor:
        """Computes the result by torch's own operations, on any tensors."""
        x = tensors[-1]
        torch_runner.check_names(x)
        tensors = [t.to(compute or torch_runner.compute_dtype(x.dtype)) for t in tensors]
        function = lambda *ts: self._masked(mask, ts, lambda *ts: self.function(*ts, dim))
        result = torch_runner.served(function, tensors, x)
        return result.to(x.dtype).contiguous()

    def record(self, dim: int, mask: Tensor | None, x: Tensor) -> Tensor:
        """The public function by torch's own, whose derivative every graph knows; a model in ONNX has none."""
        if torch.onnx.is_in_onnx_export():
            return self.in_plain_torch(dim, mask, (x,))
        function = torch.log_softmax if self.logarithm else torch.softmax
        compute = torch_runner.compute_dtype(x.dtype)
        return self._masked(mask, (x,), lambda x: function(x, dim, dtype=compute)).to(x.dtype)

    def _masked(self, mask, tensors, function) -> Tensor:
        """The function of what is left, as if the rest were not there."""
        if mask is None:
            return function(*tensors)
        *upstream, x = tensors
        upstream = [g.masked_fill(~mask, 0) for g in upstream]
        return torch.where(mask, function(*upstream, x.masked_fill(~mask, -torch.inf)), self.left_out)


class _Launches(dict):
    """What computes a map of rows at once, by the type of the tensors; None where nothing does."""

    def __init__(self, logarithm: bool, inputs: int):
        self._of = logarithm, inputs

    def __missing__(self, dtype: torch.dtype) -> calls.Launch | None:
        runner = llvm_softmax() if dtype in elementwise.SINGLE else None
        self[dtype] = runner and runner.launch_of(*self._of, dtype)
        return self[dtype]


@functools.cache
def llvm_softmax() -> ModuleType | None:
    """Machine code for rows on the CPU; None where llvmlite does not serve."""
    if elementwise.llvm_runner() is None:
        return None
    from actlib.backends import llvm_softmax

    return llvm_softmax


def _softmax(x: Tensor, dim: int) -> Tensor:
    top = x.amax(dim, keepdim=True)
    # Halves, so that infinity differs from the largest number when both are made finite; no choice is made for each
    # score, which a compiler would write down for backward.
    largest = torch.finfo(x.dtype).max
    e = torch.exp(((x * 0.5).clamp(max=largest) - (top * 0.5).clamp(max=largest)) * 2)
    total = e.sum(dim, keepdim=True)
    return e / torch.where((top == torch.inf) & (total > 1), torch.nan, total)


def _log_softmax(x: Tensor, dim: int) -> Tensor:
    distance, rest = _parts(x, dim)
    return distance - torch_runner.log1p(rest)


def _parts(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """How far each score is from the largest; and the sum of exp of that, less the 1 of one of the largest."""
    top = x.amax(dim, keepdim=True)
    distance = torch.where((x == top) & (x == torch.inf), 0, x - top)
    below = distance < 0
    rest = torch.where(below, torch.exp(distance), 0).sum(dim, keepdim=True) + ((~below).sum(dim, keepdim=True) - 1)
    return torch.where((top == torch.inf) & (rest > 0), torch.nan, distance), rest


def _softmax_backward(g: Tensor, x: Tensor, dim: int) -> Tensor:
    p = _softmax(x, dim)
    return _centred(p * (g - (p * g).sum(dim, keepdim=True)), p, dim)


def _log_softmax_backward(g: Tensor, x: Tensor, dim: int) -> Tensor:
    p = _softmax(x, dim)
    return _centred(g - p * g.sum(dim, keepdim=True), p, dim)


def _centred(u: Tensor, p: Tensor, dim: int) -> Tensor:
    """A gradient sums to 0, up to the roundings of p: what is left of the sum is theirs, and is given back.

    Next to a probability of 1, where the slope is 1 - p, these roundings would be all that is seen.
    """
    return torch.addcmul(u, p, u.sum(dim, keepdim=True), value=-1)


def _softmax_vjp(dim, mask, v, x):
    return (_SOFTMAX_BACKWARD.step(dim, mask, v, x),)


def _softmax_jvp(dim, mask, tangents, x):
    return _SOFTMAX_BACKWARD.step(dim, mask, *tangents, x)


def _log_softmax_vjp(dim, mask, v, x):
    return (_LOG_SOFTMAX_BACKWARD.step(dim, mask, v, x),)


def _log_softmax_jvp(dim, mask, tangents, x):
    return _Composite(_along).step(dim, mask, *tangents, x)


def _softmax_backward_vjp(dim, mask, v, g, x):
    # v^T J(x) g is the covariance of v and g under p, and symmetric in v, g and the direction in which x moves.
    return _SOFTMAX_BACKWARD.step(dim, mask, v, x), _third(dim, mask, v, g, x)


def _softmax_backward_jvp(dim, mask, tangents, g, x):
    def rate(dim, mask, moved, turned, g, x):
        return _SOFTMAX_BACKWARD.step(dim, mask, moved, x) + _third(dim, mask, turned, g, x)

    return _Composite(rate).step(dim, mask, *tangents, g, x)


def _log_softmax_backward_vjp(dim, mask, v, g, x):
    return _along(dim, mask, v, x), _across(dim, mask, v, g, x)


def _log_softmax_backward_jvp(dim, mask, tangents, g, x):
    def rate(dim, mask, moved, turned, g, x):
        return _LOG_SOFTMAX_BACKWARD.step(dim, mask, moved, x) + _across(dim, mask, turned, g, x)

    return _Composite(rate).step(dim, mask, *tangents, g, x)


class _Composite(_OfRows):
    """A map made of several, as one step: inside of a `jvp`, torch sees the derivatives of whole steps alone.

    Args:
        function: The map, of the same arguments.
    """

    def __init__(self, function: Callable):
        self.run = function

    def vjp(self, dim, mask, v, *tensors):
        _, pull = torch.func.vjp(lambda *ts: self.run(dim, mask, *ts), *tensors)
        return pull(v)

    def jvp(self, dim, mask, tangents, *tensors):
        def rate(dim, mask, *both):
            both = tuple(t.contiguous() for t in both)  # an expanded one is refused
            half = len(both) // 2
            _, tangent = torch.func.jvp(lambda *ts: self.run(dim, mask, *ts), both[half:], both[:half])
            return tangent

        return _Composite(rate).step(dim, mask, *tangents, *tensors)


def _along(dim, mask, t, x):
    """How the logarithm changes when the scores change by t: t - <p, t>."""
    t, wide = _in_computation(mask, t, x)
    return _masked(t - _mean(dim, mask, t, wide), mask).to(x.dtype)


def _across(dim, mask, t, g, x):
    """How the logarithm's gradient changes when the scores change by t: -J(x) t sum(g)."""
    t, g, wide = _in_computation(mask, t, g, x)
    return -_SOFTMAX_BACKWARD.step(dim, mask, t * g.sum(dim, keepdim=True), wide).to(x.dtype)


def _third(dim, mask, v, g, x):
    """The derivative of v^T J(x) g in x: J(x) u, with u = v g - v <p, g> - g <p, v>."""
    v, g, wide = _in_computation(mask, v, g, x)
    u = v * g - v * _mean(dim, mask, g, wide) - g * _mean(dim, mask, v, wide)
    return _SOFTMAX_BACKWARD.step(dim, mask, u, wide).to(x.dtype)


def _mean(dim, mask, t, x):
    return (_SOFTMAX.step(dim, mask, x) * t).sum(dim, keepdim=True)


def _in_computation(mask, *tensors):
    """The tensors in the type of computation, 0 where they are masked (but for x, the last)."""
    *others, x = (t.to(torch_runner.compute_dtype(t.dtype)) for t in tensors)
    return [*(_masked(t, mask) for t in others), x]


def _masked(t, mask):
    return t if mask is None else torch.where(mask, t, 0)


_SOFTMAX = _Operation(softmax, False, 1, _softmax, _softmax_vjp, _softmax_jvp)
_LOG_SOFTMAX = _Operation(log_softmax, True, 1, _log_softmax, _log_softmax_vjp, _log_softmax_jvp, -torch.inf)
_SOFTMAX_BACKWARD = _Operation(softmax, False, 2, _softmax_backward, _softmax_backward_vjp, _softmax_backward_jvp)
_LOG_SOFTMAX_BACKWARD = _Operation(
    log_softmax, True, 2, _log_softmax_backward, _log_softmax_backward_vjp, _log_softmax_backward_jvp
)


def _check_in_range(name: str, dim: int, input: Tensor) -> None:
    ndim = max(input.ndim, 1)  # torch gives a number a dimension to sum along
    if not -ndim <= dim < ndim:
        raise IndexError(
            f"{name}: dim must be from {-ndim} to {ndim - 1} for an input of shape "
            f"{tuple(torch_runner.shape(input))}, but {dim} came"
        )


def _whole(name: str, dim: object) -> int:
    """The dimension as an int, where it came as one, as NumPy's too."""
    if not isinstance(dim, numbers.Integral) or isinstance(dim, bool):
        raise TypeError(f"{name}: dim must be an int, but {type(dim).__name__} came")
    return int(dim)


def _check_where(name: str, where: object, input: Tensor) -> None:
    if not isinstance(where, Tensor) or where.dtype != torch.bool:
        came = str(where.dtype).removeprefix("torch.") if isinstance(where, Tensor) else type(where).__name__
        raise TypeError(f"{name}: where must be a boolean tensor, but {came} came")
    if where.device != input.device:
        raise ValueError(f"{name}: where is on {where.device}, the input on {input.device}")
    elementwise.check_layout(name, "where", where)
    if not elementwise.broadcasts(where.shape, input.shape):
        raise ValueError(
            f"{name}: where of shape {tuple(where.shape)} does not broadcast to the input's shape {tuple(input.shape)}"
        )


activation = RowActivation(
    function=softmax,
    layer=Softmax,
    torch=torch.softmax,
    chapter="07_softmax",
    references=("bridle1990", "blanchard2021", "milakov2018"),
    row=row,
)

log_activation = RowActivation(
    function=log_softmax,
    layer=LogSoftmax,
    torch=torch.log_softmax,
    chapter="07_softmax",
    references=("blanchard2021",),
    row=log_row,
)

sink_activation = RowActivation(function=softmax_with_sink, layer=SoftmaxWithSink, row=sink_row)
