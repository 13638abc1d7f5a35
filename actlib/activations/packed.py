"""Two inputs in one packed tensor: kernels read them where they lie, and write their gradients likewise.

One matrix product gives gate and value of a gated linear unit at once. To cut its result in two would cost copies: of
the halves before the product, and of their gradients after it.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd import forward_ad

from actlib import elementwise
from actlib.backends import torch_runner
from actlib.differentiable import is_recorded, needs_gradient
from actlib.elementwise import Elementwise

HALVES, INTERLEAVED = LAYOUTS = ("halves", "interleaved")


def parts(packed: Tensor, layout: str) -> tuple[Tensor, Tensor]:
    """Gate and value as views of the packed tensor."""
    if layout == HALVES:
        width = packed.shape[-1] // 2
        return packed.narrow(-1, 0, width), packed.narrow(-1, width, width)
    return packed[..., 0::2], packed[..., 1::2]


def joined(gate: Tensor, value: Tensor, layout: str) -> Tensor:
    """The packed tensor of gate and value."""
    return torch.cat([gate, value], -1) if layout == HALVES else torch.stack([gate, value], -1).flatten(-2)


def apply(op: Elementwise, packed: Tensor, *parameters: float | Tensor, layout: str) -> Tensor:
    """A function of gate and value, where one tensor holds both.

    Args:
        op: The function. Its first two arguments are gate and value.
        packed: The tensor.
        *parameters: Its other arguments.
        layout: "halves" or "interleaved".

    Raises:
        TypeError: `packed` is no floating-point tensor, or what the Elementwise refuses.
        ValueError: `layout` is neither; or the last dimension of the tensor, if there is one, has no even size.
    """
    check_layout(op.name, layout)
    elementwise.check_tensor(op.name, "gate", packed)
    shape = torch_runner.shape(packed)
    if not shape or shape[-1] % 2:
        raise ValueError(
            f"{op.name}: a tensor that holds gate and value must have a last dimension of even size, but one of shape "
            f"{tuple(shape)} came"
        )
    arguments = (packed, *parameters)
    if _is_plain_call() and _kernel_runs(op, arguments):
        _, _, *parameters = op.fitting((*parts(packed, layout), *parameters))
        if needs_gradient(arguments):
            return _Apply.apply(op, layout, packed, *parameters)
        return _run(op, layout, (packed, *parameters), 0)
    return op(*parts(packed, layout), *parameters)


def check_layout(name: str, layout: object) -> None:
    """Raises ValueError, naming the function, unless the layout is one of the two."""
    if layout not in LAYOUTS:
        raise ValueError(f'{name}: layout must be "halves" or "interleaved", but {layout!r} came')


def _is_plain_call() -> bool:
    """Whether nobody transforms or records what is done."""
    return not (
        torch.compiler.is_compiling()
        or is_recorded()
        or torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
    )


def _kernel_runs(op: Elementwise, arguments: Sequence[Tensor | float]) -> bool:
    """Whether a kernel takes these arguments as they are, the first of them a tensor."""
    x = arguments[0]
    if torch_runner.compute_dtype(x.dtype) != torch.float32 or not x.numel():
        return False
    return elementwise.runs_kernels(arguments) or (
        x.is_cpu and op._has_machine_code and elementwise.llvm_runner().takes(arguments)
    )


def _run(op: Elementwise, layout: str, arguments: Sequence[Tensor | float], at: int) -> Tensor:
    """By a kernel, the result of `op`, or its two results in one packed tensor.

    The first argument is a tensor; the one at the place `at` is packed, and stands for two.
    """
    arguments = list(arguments)
    packed = arguments[at] = arguments[at].detach().contiguous()
    half = (*packed.shape[:-1], packed.shape[-1] // 2)
    out = torch.empty(half if len(op.outputs) == 1 else packed.shape, dtype=packed.dtype, device=packed.device)
    order = out if len(op.outputs) == 1 else out.flatten()[: out.numel() // 2].view(half)
    if elementwise.runs_kernels(arguments):
        _run_on_gpu(op, layout, arguments, at, out, order)
    else:
        given = (op.name, op.torch_source, arguments, at, out, order, op._machine_code, op.numbers(packed.dtype))
        elementwise.llvm_runner().run_packed(*given, interleaved=layout == INTERLEAVED)
    return out


def _run_on_gpu(op, layout, arguments, at, out, order) -> None:
    from actlib.backends import triton_runner

    arguments = [a.to(out.device) if isinstance(a, Tensor) else a for a in arguments]
    before, after = (triton_runner.kinds(part, order.shape) for part in (arguments[:at], arguments[at + 1 :]))
    kinds = (*before, triton_runner.PACKED, triton_runner.PACKED, *after)
    arguments[at : at + 1] = parts(arguments[at], layout)
    targets = [out] if len(op.outputs) == 1 else parts(out, layout)
    step = 2 if layout == INTERLEAVED else 1
    double = op.kernel_in_double(out)
    kernel = op._kernel(kinds, double)
    triton_runner.run_packed(kernel, arguments, kinds, targets, order, step, double)


class _Apply(torch.autograd.Function):
    @staticmethod
    def forward(ctx, op, layout, packed, *parameters):
        ctx.op, ctx.layout = op, layout
        ctx.numbers = [None if isinstance(a, Tensor) else a for a in (packed, *parameters)]
        ctx.save_for_backward(*(a for a in (packed, *parameters) if isinstance(a, Tensor)))
        return _run(op, layout, (packed, *parameters), 0)

    @staticmethod
    def backward(ctx, upstream):
        op, layout = ctx.op, ctx.layout
        tensors = iter(ctx.saved_tensors)
        packed, *parameters = [next(tensors) if number is None else number for number in ctx.numbers]
        needed = ctx.needs_input_grad[2:]
        gradients: list[Tensor | None] = [None] * len(needed)
        if needed[0]:
            both, arguments = op.vjp((0, 1)), (upstream, packed, *parameters)
            if not torch.is_grad_enabled() and _is_plain_call() and _kernel_runs(both, arguments):
                gradients[0] = _run(both, layout, arguments, 1)
            else:
                separate = both.step(upstream, *parts(packed, layout), *parameters)
                gradients[0] = joined(*separate, layout)
        wanted = tuple(i + 1 for i, need in enumerate(needed) if need and i)
        if wanted:
            results = op.pull(wanted)(upstream, *parts(packed, layout), *parameters)
            for i, gradient in zip(wanted, results if len(wanted) > 1 else [results], strict=True):
                gradients[i - 1] = gradient
        return None, None, *gradients
