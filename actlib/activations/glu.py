"""Gated linear units: an activation of one tensor, the gate, times another, the value."""

import numbers
from collections.abc import Callable

import torch
from sympy import Expr, Piecewise, Symbol
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import handle_torch_function, has_torch_function

from actlib.activations import gelu, packed, relu, sigmoid, swish
from actlib.activations.activation import Activation
from actlib.backends.torch_runner import shape
from actlib.elementwise import FLOATS, Elementwise, check_layout, stands_for_a_tensor
from actlib.formula.primitives import sigma
from actlib.layer import Generated

gate = Symbol("gate", real=True)
value = Symbol("value", real=True)


def gated(name: str, activation: Elementwise) -> Elementwise:
    """The family's one formula: activation(gate) * value."""
    (x,), (formula,) = activation.inputs, activation.outputs
    return Elementwise(name, [gate, value], formula.subs(x, gate) * value, activation.parameters)


op = gated("glu", sigmoid.op)
bilinear_op = gated("bilinear", Elementwise("identity", [gate], gate))
reglu_op = gated("reglu", relu.op)
geglu_op = gated("geglu", gelu.op)
swiglu_op = gated("swiglu", swish.op)

alpha, offset, limit = (Symbol(name, real=True) for name in ("alpha", "offset", "limit"))


def clamped() -> Expr:
    """SwiGLU of a gate clamped from above and a value clamped on both sides.

    The cases stand outside, so that no gradient passes a clamp, not even an infinite one.
    """

    def of(gate: Expr) -> Expr:
        swish = gate * sigma(alpha * gate)
        cases = [(end, beyond) for end, beyond in ((-limit, value < -limit), (limit, value > limit), (value, True))]
        return Piecewise(*((swish * (v + offset), condition) for v, condition in cases))

    return Piecewise((of(limit), gate > limit), (of(gate), True))


clamped_op = Elementwise("clamped_swiglu", [gate, value], clamped(), [alpha, offset, limit])

GEGLU_FORMS = {
    "none": geglu_op,
    "tanh": gated("geglu_tanh", gelu.tanh_op),
    "sigmoid": gated("geglu_sigmoid", gelu.sigmoid_op),
}
"""By the argument `approximate`."""


def _call(
    function: Callable, op: Elementwise, gate: Tensor, value: Tensor | None, *rest: object, layout: str | None
) -> Tensor:
    """The public function `function` by `op`, with gate and value apart, or both in `gate` where there is a layout."""
    parameters = rest if op.parameters else ()
    if layout is None:
        return op(gate, value, *parameters)
    given = (gate, value, *rest)
    if not torch.compiler.is_compiling() and has_torch_function(given):
        return handle_torch_function(function, given, *given, layout=layout)
    if value is not None:
        raise TypeError(f"{op.name}: with a layout, gate holds both, but value came too: {type(value).__name__}")
    return packed.apply(op, gate, *parameters, layout=layout)


def glu(gate: Tensor, value: Tensor | None = None, *, layout: str | None = None) -> Tensor:
    r"""Gated linear unit, elementwise.

    .. math:: \operatorname{GLU}(\text{gate}, \text{value}) = \sigma(\text{gate}) \cdot \text{value}

    One pass over memory, rounded once; backward keeps the two inputs and nothing else.

    Where one matrix product gives both, they may stay in one packed tensor of shape (..., 2n): as its halves, the gate
    first, or interleaved, the gate at even places, as in gpt-oss. Neither the call nor its backward copies a contiguous
    one, and the gradient is one packed tensor, too; a gradient that is itself differentiated, torch.compile and float64
    work on views of the two. Note that `torch.nn.functional.glu` takes halves with the *value* first: it is called
    `glu(torch.cat([value, gate]))`.

    Source: Dauphin, Fan, Auli and Grangier (2017).

    Args:
        gate: Tensor of float16, bfloat16, float32 or float64, of any shape.
        value: Tensor of the same shape, dtype and device; None where `gate` holds both.
        layout: How `gate` holds both along its last dimension: "halves" or "interleaved"; None if it is the gate alone.

    Returns:
        Tensor of the same shape, dtype and memory order; of half as many columns, and contiguous, for a packed tensor.
        NaN gives NaN.

    Raises:
        TypeError: One of the two is no tensor of these types, or there are both a layout and a value.
        ValueError: They differ in shape, dtype or device; `layout` is none of these; or the last dimension of a packed
            tensor has an odd size.
    """
    return _call(glu, op, gate, value, layout=layout)


def bilinear(gate: Tensor, value: Tensor | None = None, *, layout: str | None = None) -> Tensor:
    """Product of gate and value; arguments, result and errors as those of `glu`.

    Source: Mnih and Hinton (2007); Shazeer (2020).
    """
    return _call(bilinear, bilinear_op, gate, value, layout=layout)


def reglu(gate: Tensor, value: Tensor | None = None, *, layout: str | None = None) -> Tensor:
    """ReLU(gate) * value; arguments, result and errors as those of `glu`.

    Source: Shazeer (2020).
    """
    return _call(reglu, reglu_op, gate, value, layout=layout)


def geglu(gate: Tensor, value: Tensor | None = None, approximate: str = "none", *, layout: str | None = None) -> Tensor:
    """GELU(gate) * value; arguments, result and errors as those of `glu`.

    Source: Shazeer (2020).

    Args:
        gate: Tensor.
        value: Tensor like it; None where `gate` holds both.
        approximate: "none", "tanh" or "sigmoid", as for `gelu`; anything else is a ValueError.
        layout: How `gate` holds both, as for `glu`.
    """
    return _call(geglu, gelu.form("geglu", GEGLU_FORMS, approximate), gate, value, approximate, layout=layout)


def swiglu(
    gate: Tensor, value: Tensor | None = None, beta: float | Tensor = 1.0, *, layout: str | None = None
) -> Tensor:
    """Swish(gate) * value; arguments, result and errors as those of `glu`.

    Source: Shazeer (2020).

    Args:
        gate: Tensor.
        value: Tensor like it; None where `gate` holds both.
        beta: A number, or a tensor that broadcasts to the gate, as for `swish`.
        layout: How `gate` holds both, as for `glu`.
    """
    return _call(swiglu, swiglu_op, gate, value, beta, layout=layout)


def clamped_swiglu(
    gate: Tensor,
    value: Tensor | None = None,
    alpha: float | Tensor = 1.0,
    offset: float | Tensor = 0.0,
    limit: float | Tensor = 10.0,
    *,
    layout: str | None = None,
) -> Tensor:
    r"""SwiGLU whose gate is clamped from above and whose value is clamped on both sides.

    .. math::
        g \, \sigma(\alpha g) \, (v + c), \quad
        g = \min(\text{gate}, L), \quad
        v = \min(\max(\text{value}, -L), L)

    with c for `offset` and L for `limit`. The defaults are those of DeepSeek-V4; gpt-oss has `alpha=1.702`, `offset=1`
    and `limit=7`. The slopes at the clamps are torch's: a number that is just at the limit lets the gradient pass. One
    pass over memory, rounded once; backward keeps the two inputs and nothing else.

    Source: OpenAI (2025), gpt-oss; DeepSeek-AI (2026), DeepSeek-V4.

    Args:
        gate: Tensor of float16, bfloat16, float32 or float64, of any shape.
        value: Tensor of the same shape, dtype and device; None where `gate` holds both.
        alpha: Factor within the sigmoid: a number, or a tensor that broadcasts to the gate.
        offset: What is added to the value, likewise.
        limit: Where the clamps are, likewise; `math.inf` for none.
        layout: How `gate` holds both, as for `glu`: "interleaved" in gpt-oss.

    Returns:
        Tensor of the same shape, dtype and memory order, or as for `glu`. NaN gives NaN.

    Raises:
        TypeError: Gate or value is no tensor of these types, a parameter neither that nor a number, or there are both a
            layout and a value.
        ValueError: Gate and value differ in shape, dtype or device; a parameter does not broadcast; `limit` is a number
            that is not above 0; or as for `glu` of a packed tensor.
    """
    if isinstance(limit, numbers.Real) and not limit > 0:
        raise ValueError(f"clamped_swiglu: limit must be above 0, but {limit} came")
    return _call(clamped_swiglu, clamped_op, gate, value, alpha, offset, limit, layout=layout)


class GLU(Generated):
    r"""Gated linear unit of two linear maps; the family's other layers put their own function in place of the sigmoid.

    .. math:: \sigma(W x + b) \cdot (V x + d)

    Parameters: `W` and `V` of shape (hidden_features, in_features), `b` and `d` of shape (hidden_features,),
    initialised as those of `torch.nn.Linear`. With a layout, `weight` of shape (2 * hidden_features, in_features) and
    `bias` of shape (2 * hidden_features,): those of one `torch.nn.Linear`, whose state it loads. One product gives gate
    and value then, in one packed tensor that is not copied.

    Source: Dauphin, Fan, Auli and Grangier (2017); Shazeer (2020).

    Args:
        in_features: Width of the input.
        hidden_features: Width of the output.
        bias: Whether there are `b` and `d`, or `bias`.
        device: Where the parameters are.
        dtype: Their type.
        layout: How the rows of `weight` give gate and value: "halves", the gate first, or "interleaved"; None for two
            linear maps.

    Raises:
        TypeError: A width is no int, or `bias` no bool; later, the input is no floating-point tensor.
        ValueError: A width is below 1, or `layout` none of these; later, the width of the input does not fit, or its
            type.
    """

    function = staticmethod(glu)

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        layout: str | None = None,
    ):
        super().__init__()
        name = type(self).__name__
        for argument, width in (("in_features", in_features), ("hidden_features", hidden_features)):
            if not isinstance(width, int) or isinstance(width, bool):
                raise TypeError(f"{name}: {argument} must be an int, but {type(width).__name__} came")
            if width < 1:
                raise ValueError(f"{name}: {argument} must be at least 1, but {width} came")
        if not isinstance(bias, bool):
            raise TypeError(f"{name}: bias must be True or False, but {bias!r} came")
        if layout is not None:
            packed.check_layout(name, layout)
        self.in_features, self.hidden_features, self.layout = in_features, hidden_features, layout
        maps = (("W", "b"), ("V", "d")) if layout is None else (("weight", "bias"),)
        for weight, offset in maps:
            linear = nn.Linear(in_features, 2 * hidden_features // len(maps), bias, device, dtype)
            self.register_parameter(weight, linear.weight)
            self.register_parameter(offset, linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Gated product, of shape (..., hidden_features) for an input of shape (..., in_features)."""
        self._check(x)
        if self.layout is not None:
            return self.function(functional.linear(x, self.weight, self.bias), layout=self.layout)
        return self.function(functional.linear(x, self.W, self.b), functional.linear(x, self.V, self.d))

    def extra_repr(self) -> str:
        """The arguments."""
        bias = self.b if self.layout is None else self.bias
        shown = f"in_features={self.in_features}, hidden_features={self.hidden_features}, bias={bias is not None}"
        return shown if self.layout is None else f"{shown}, layout={self.layout!r}"

    def _check(self, x: Tensor) -> None:
        name = type(self).__name__
        if stands_for_a_tensor(x):
            return
        if not isinstance(x, Tensor) or x.dtype not in FLOATS:
            came = str(x.dtype).removeprefix("torch.") if isinstance(x, Tensor) else type(x).__name__
            raise TypeError(f"{name}: x must be a tensor of float16, bfloat16, float32 or float64, but {came} came")
        check_layout(name, "x", x)
        if x.ndim == 0 or shape(x)[-1] != self.in_features:
            raise ValueError(f"{name}: x must have the shape (..., {self.in_features}), but {tuple(shape(x))} came")
        dtype = (self.W if self.layout is None else self.weight).dtype
        if x.dtype != dtype and not torch.is_autocast_enabled(x.device.type):
            raise ValueError(f"{name}: x must be of {dtype} as the parameters, but {x.dtype} came")


class Bilinear(GLU):
    """(Wx + b) * (Vx + d); otherwise as `GLU`."""

    function = staticmethod(bilinear)


class ReGLU(GLU):
    """ReLU(Wx + b) * (Vx + d); otherwise as `GLU`."""

    function = staticmethod(reglu)


class GEGLU(GLU):
    """GELU(Wx + b) * (Vx + d); otherwise as `GLU`."""

    function = staticmethod(geglu)


class SwiGLU(GLU):
    """Swish(Wx + b) * (Vx + d); otherwise as `GLU`."""

    function = staticmethod(swiglu)


class ClampedSwiGLU(GLU):
    """`clamped_swiglu` of Wx + b and Vx + d; otherwise as `GLU`.

    Args:
        in_features: Width of the input.
        hidden_features: Width of the output.
        bias: Whether there are `b` and `d`, or `bias`.
        device: Where the parameters are.
        dtype: Their type.
        alpha: Factor within the sigmoid, a number.
        offset: What is added to the value, a number.
        limit: Where the clamps are, a number above 0.
        layout: As for `GLU`.

    Raises:
        TypeError: As for `GLU`; or `alpha`, `offset` or `limit` is no number.
        ValueError: As for `GLU`; or `limit` is not above 0.
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        alpha: float = 1.0,
        offset: float = 0.0,
        limit: float = 10.0,
        layout: str | None = None,
    ):
        super().__init__(in_features, hidden_features, bias, device, dtype, layout=layout)
        for name, given in (("alpha", alpha), ("offset", offset), ("limit", limit)):
            if not isinstance(given, numbers.Real) or isinstance(given, bool):
                raise TypeError(f"ClampedSwiGLU: {name} must be a number, but {type(given).__name__} came")
        if not limit > 0:
            raise ValueError(f"ClampedSwiGLU: limit must be above 0, but {limit} came")
        self.alpha, self.offset, self.limit = float(alpha), float(offset), float(limit)

    def function(self, gate: Tensor, value: Tensor | None = None, *, layout: str | None = None) -> Tensor:
        """`clamped_swiglu` with the layer's numbers."""
        return clamped_swiglu(gate, value, self.alpha, self.offset, self.limit, layout=layout)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"{super().extra_repr()}, alpha={self.alpha:g}, offset={self.offset:g}, limit={self.limit:g}"


def _torch_glu(gate: Tensor, value: Tensor) -> Tensor:
    return functional.glu(torch.stack([value, gate]), 0)[0]


def _torch_reglu(gate: Tensor, value: Tensor) -> Tensor:
    return functional.relu(gate) * value


def _torch_geglu(gate: Tensor, value: Tensor) -> Tensor:
    return functional.gelu(gate) * value


def _torch_swiglu(gate: Tensor, value: Tensor) -> Tensor:
    return functional.silu(gate) * value


CHAPTER = {"chapter": "09_swiglu", "references": ("dauphin2017", "shazeer2020")}

activations = (
    Activation(op, glu, GLU, _torch_glu, **CHAPTER),
    Activation(bilinear_op, bilinear, Bilinear, torch.mul, **CHAPTER),
    Activation(reglu_op, reglu, ReGLU, _torch_reglu, **CHAPTER),
    Activation(geglu_op, geglu, GEGLU, _torch_geglu, **CHAPTER),
    Activation(swiglu_op, swiglu, SwiGLU, _torch_swiglu, {"beta": 1.0}, **CHAPTER),
)

clamped_activation = Activation(
    clamped_op, clamped_swiglu, ClampedSwiGLU, defaults={"alpha": 1.0, "offset": 0.0, "limit": 10.0}
)
