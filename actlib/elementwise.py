"""Differentiable, fused functions from SymPy formulas.

The backward of an elementwise function is an elementwise function: its outputs are sums of g_j d e_j / d x_i, its
inputs the g_j and the x_i. So `Elementwise` is closed under differentiation, and every order is one fused pass over
memory.
"""

import functools
import keyword
import math
import numbers
import sys
import unicodedata
from collections.abc import Callable, Sequence
from types import ModuleType

import sympy as sp
import torch
from sympy import Expr, Symbol
from torch import Tensor
from torch.overrides import has_torch_function

from actlib.backends import calls, torch_runner
from actlib.differentiable import Differentiable
from actlib.formula import source
from actlib.formula.primitives import derivative, scaled, stable
from actlib.layer import Layer
from actlib.optional import LLVMLITE, TRITON

REALS = (numbers.Real, torch.SymInt, torch.SymFloat)
"""Numbers, known or not yet, while a graph is made."""

SINGLE = (torch.float16, torch.bfloat16, torch.float32)
FLOATS = (*SINGLE, torch.float64)


class Elementwise(Differentiable):
    """A differentiable, fused torch function from any SymPy formula.

    Reverse and forward mode to any order, `torch.vmap`, `torch.func` and `torch.compile(fullgraph=True)` work on it; on
    CUDA it runs as one generated Triton kernel, on the CPU as generated machine code. Float64, and a formula with sin,
    cos, erf or a power that is no whole number, runs as a generated torch function there. Backward keeps the inputs
    and nothing else. Half precision is computed in float32, or in float64 where the range needs it, and rounded once. A
    formula whose digits float32 has no room for, such as x^3 sigma(x), is computed in float64 throughout. So is float32
    in machine code, and on GPUs that are half as fast in float64 (as data-centre GPUs are), where a formula rounds more
    than once: values and slopes of the registry's functions are within 1 ulp wherever they are normal numbers. On other
    GPUs, and in torch's operations, they are computed in float32 and may be several ulp off, in the tails and next to
    zeros many.

        >>> x = sympy.Symbol("x")
        >>> silu = Elementwise("silu", [x], [x * sigma(x)])
        >>> silu(torch.randn(8, requires_grad=True)).sum().backward()

    Args:
        name: An identifier: the generated functions bear it.
        inputs: Symbols of the inputs. Tensors take their place, all of one shape, dtype and device.
        outputs: A formula in these symbols, or several.
        parameters: Symbols of the parameters. A number or a tensor takes their place; a tensor may be of any shape that
            broadcasts to that of the inputs (per channel, say), and gets a gradient of its own shape.

    Calling it takes the inputs, then the parameters, and returns a tensor (a tuple of tensors for several formulas) of
    the shape, dtype and memory order of the first input. Types: float16, bfloat16, float32, float64.

    Raises:
        TypeError: An input is no floating-point tensor, or a parameter neither a number nor such a tensor.
        ValueError: Inputs differ in shape, dtype or device; a parameter does not broadcast, or is a number beyond
            float32 where the inputs are not of float64; the count is off; or, when it is made, a name is no identifier
            or a formula has symbols that are not given.
    """

    def __init__(
        self,
        name: str,
        inputs: Sequence[Symbol],
        outputs: Expr | Sequence[Expr],
        parameters: Sequence[Symbol] = (),
    ):
        inputs, outputs = _collected("inputs", inputs), _collected("formulas", outputs)
        parameters = _collected("parameters", parameters)
        if not isinstance(self, _Derived):
            _check_formula(name, inputs, outputs, parameters)
        real = {s: Symbol(s.name, real=True) for s in (*inputs, *parameters)}
        self.name = name
        self.inputs = tuple(real[s] for s in inputs)
        self.parameters = tuple(real[s] for s in parameters)
        outputs = [sp.sympify(e).xreplace(real) for e in outputs]
        if not isinstance(self, _Derived):
            for e in outputs:
                source.check(e)
        self.outputs = tuple(map(stable, outputs))
        # The dtype of each output is that of this input; None stands for the dtype of the computation.
        self._like: tuple[int | None, ...] = (0,) * len(self.outputs)
        self.public: Callable = self
        self.__name__ = name
        self.__module__ = sys._getframe(1).f_globals.get("__name__", __name__)
        self.tensors_alone = not self.parameters
        self._count = len(self.inputs) + len(self.parameters)
        self._made: dict[tuple, object] = {}
        self._machine_code: dict[tuple, object] = {}

    def __repr__(self):
        given = ", ".join(s.name for s in self.symbols)
        return f"Elementwise({self.name}({given}) = {', '.join(map(str, self.outputs))})"

    def __reduce__(self):
        return type(self), (self.name, self.inputs, self.outputs, self.parameters), {"__module__": self.__module__}

    @property
    def symbols(self) -> tuple[Symbol, ...]:
        """Symbols of all arguments: inputs, then parameters."""
        return self.inputs + self.parameters

    @functools.cached_property
    def torch_source(self) -> str:
        """Source of the generated torch function."""
        return source.torch_source(self.name, self.symbols, self.outputs)

    def triton_source(self, kinds: Sequence[str] = ()) -> str:
        """Source of the generated Triton kernel; for the kinds of arguments see `formula.source.triton_source`."""
        kinds = kinds or ("full",) * len(self.inputs) + ("number",) * len(self.parameters)
        return self._triton_source(kinds, self._needs_double)

    def _triton_source(self, kinds: Sequence[str], double: bool) -> str:
        return source.triton_source(f"{self.name}_kernel", self.symbols, self.outputs, kinds, double=double)

    @property
    def backward(self) -> "Elementwise":
        """The gradient of every argument, as a function of one upstream gradient an output, and of the arguments."""
        return self.vjp(tuple(range(len(self.symbols))))

    def vjp(self, wanted: tuple[int, ...]) -> "Elementwise":
        """The gradients of the wanted arguments, as a function of upstream gradients, inputs and parameters."""
        return self._once(("vjp", wanted), lambda: self._vjp(wanted))

    def jvp(self, moving: tuple[int, ...]) -> "Elementwise":
        """The tangents of the outputs, as a function of the tangents of the moving arguments, inputs and parameters."""
        return self._once(("jvp", moving), lambda: self._jvp(moving))

    def layer(self, **parameters: float | Tensor) -> torch.nn.Module:
        """A layer that applies this function; a `torch.nn.Parameter` given for a parameter is learnt."""
        return Layer(self, **parameters)

    def _once(self, key: tuple, make: Callable):
        """What is made for a key, once; it is kept as long as this function."""
        made = self._made.get(key)
        if made is None:
            made = self._made[key] = make()
        return made

    def _vjp(self, wanted: tuple[int, ...]) -> "Elementwise":
        upstream = self._fresh("g", len(self.outputs))
        slopes = [
            sp.Add(*(scaled(g, derivative(e, self.symbols[i])) for g, e in zip(upstream, self.outputs, strict=True)))
            for i in wanted
        ]
        m = len(upstream)
        like = tuple(m + i if i < len(self.inputs) else None for i in wanted)
        return self._derived("backward", (*upstream, *self.inputs), slopes, like)

    def _jvp(self, moving: tuple[int, ...]) -> "Elementwise":
        tangents = self._fresh("t", len(moving))
        rates = [
            sp.Add(*(scaled(t, derivative(e, self.symbols[i])) for t, i in zip(tangents, moving, strict=True)))
            for e in self.outputs
        ]
        inputs = [t for t, i in zip(tangents, moving, strict=True) if i < len(self.inputs)]
        parameters = [t for t, i in zip(tangents, moving, strict=True) if i >= len(self.inputs)]
        like = tuple(None if k is None else k + len(inputs) for k in self._like)
        return self._derived("jvp", (*inputs, *self.inputs), rates, like, (*parameters, *self.parameters))

    def _derived(self, suffix, inputs, outputs, like, parameters=None) -> "Elementwise":
        made = _Derived(f"{self.name}_{suffix}", inputs, outputs, self.parameters if parameters is None else parameters)
        made._like = like
        if isinstance(self, _Derived):  # higher derivatives go by the first
            made._needs_double, made._half_precision = self._needs_double, self._half_precision
            made._single_precision = "rough" if self._single_precision == "single" else self._single_precision
        return made

    def _fresh(self, letter: str, count: int) -> list[Symbol]:
        """New symbols that bear no name in use."""
        taken = {s.name for s in self.symbols}
        candidates = (f"{letter}{i}" for i in range(1, 10**6)) if count > 1 or letter in taken else iter([letter])
        names = (name for name in candidates if name not in taken)
        return [Symbol(next(names), real=True) for _ in range(count)]

    @functools.cached_property
    def compute(self) -> Callable:
        """The function of inputs and parameters, where no compiler looks on."""
        return self._called(super().compute)

    def _in_graph(self, *arguments: Tensor | float) -> Tensor | tuple[Tensor, ...]:
        # A program for export may be trained, by torch's own derivatives.
        if torch.compiler.is_exporting() and not has_torch_function(arguments):
            return self.record(*self.fitting(arguments))
        return self.compute(*arguments)

    @functools.cached_property
    def step(self) -> Callable:
        """The same for arguments that fit: a step within a derivative."""
        return self._called(super().step)

    def _called(self, otherwise: Callable) -> Callable:
        return calls.call(self, len(self.inputs), len(self.parameters), self.launches, otherwise)

    @functools.cached_property
    def launches(self) -> "_Launches":
        """What computes the outputs at once, by the type of the inputs, where nothing special is asked for."""
        return _Launches(self)

    def pull(self, wanted: tuple[int, ...]) -> Callable[..., Tensor | tuple[Tensor, ...]]:
        """What gives the gradients of the wanted arguments, of those of the outputs and of the arguments."""
        step, n = self.vjp(wanted).step, len(self.inputs)
        if wanted[-1] < n:
            return step

        def summed(*given):  # parameters may have been broadcast
            results, arguments = step(*given), given[len(self.outputs) :]
            pairs = zip(wanted, results if len(wanted) > 1 else [results], strict=True)
            return _plain([g if i < n else _as_argument(g, arguments[i]) for i, g in pairs])

        return summed

    def push(self, tangents: Sequence[Tensor | None], kept: Sequence[Tensor | float]):
        """The tangents of the outputs, given those of the arguments, None for one that rests, and the arguments."""
        moving = tuple(i for i, t in enumerate(tangents) if t is not None)
        n = len(self.inputs)
        given = [tangents[i] for i in moving]
        inner = sum(i < n for i in moving)
        return self.jvp(moving).step(*given[:inner], *kept[:n], *given[inner:], *kept[n:])

    def batched(self, size: int, dims: Sequence[int | None], arguments: Sequence[Tensor | float]):
        """The arguments with the batch in front; parameters keep broadcasting from the right."""
        n = len(self.inputs)
        pairs = list(zip(arguments, dims, strict=True))
        moved = [a if d is None else a.movedim(d, 0) for a, d in pairs]
        ndim = max(a.ndim - (d is not None) for a, d in pairs[:n])
        for i, (_, d) in enumerate(pairs):
            a = moved[i]
            if i < n and d is None:
                moved[i] = a.expand(size, *a.shape)
            elif i >= n and d is not None:
                moved[i] = a.reshape(size, *(1,) * (ndim + 1 - a.ndim), *a.shape[1:])
        return moved

    @functools.cached_property
    def _function(self):
        return torch_runner.load(self.name, self.torch_source)

    @functools.cached_property
    def _differentiable(self):
        text = source.torch_source(self.name, self.symbols, self.outputs, guarded=True)
        return torch_runner.load_differentiable(self.name, text)

    @functools.cached_property
    def _of_numbers_alone(self) -> tuple[bool, bool]:
        names = source.legal_names(self.symbols)
        return torch_runner.of_numbers_alone(self.torch_source, names[len(self.inputs) :])

    def _kernel(self, kinds: tuple[str, ...], double: bool):
        from actlib.backends import triton_runner

        make = lambda: triton_runner.load(f"{self.name}_kernel", self._triton_source(kinds, double))
        return self._once(("kernel", kinds, double), make)

    @functools.cached_property
    def _has_machine_code(self) -> bool:
        return llvm_runner() is not None and llvm_runner().can_run(self.torch_source)

    @functools.cached_property
    def _needs_double(self) -> bool:
        return source.needs_double(self.outputs)

    @functools.cached_property
    def _half_precision(self) -> tuple[str, str]:
        return source.half_precision(self.outputs)

    @functools.cached_property
    def _single_precision(self) -> str:
        return source.single_precision(self.outputs, self.parameters)

    def numbers(self, dtype: torch.dtype) -> str:
        """In what machine code computes results of a type other than float64, as `llvm_runner.kernel_source` says."""
        if self._needs_double:
            return "double"
        return self._single_precision if dtype == torch.float32 else self._half_precision[dtype == torch.bfloat16]

    def in_double(self, dtype: torch.dtype) -> bool:
        """Whether results of a type other than float64 need its range: all that torch operations are asked."""
        return self._needs_double or (dtype != torch.float32 and self.numbers(dtype) != "single")

    def run(self, *arguments: Tensor | float) -> Tensor | tuple[Tensor, ...]:
        """Computes the outputs; the arguments have been checked."""
        return _plain(self._run(arguments))

    def _run(self, arguments: Sequence[Tensor | float]) -> list[Tensor]:
        x = arguments[len(self.inputs) - 1]  # upstream gradients come before the inputs that they belong to
        shape = x.shape
        compute = torch_runner.compute_dtype(x.dtype)
        dtypes = [compute if k is None else arguments[k].dtype for k in self._like]
        if compute == torch.float32:
            if runs_kernels(arguments):
                return self.run_kernel(arguments, shape, dtypes)
            if x.is_cpu and self._has_machine_code:
                runner = llvm_runner()
                if runner.takes(arguments):
                    return runner.run(
                        self.name,
                        self.torch_source,
                        arguments,
                        shape,
                        dtypes,
                        self._machine_code,
                        self.numbers(x.dtype),
                    )
                if runner.serves_compilers(arguments):
                    tensors = tuple(isinstance(a, Tensor) for a in arguments)
                    operation = runner.operation(
                        self.name, self.torch_source, len(self.inputs), self._like, tensors, self.numbers(x.dtype)
                    )
                    results = operation(*arguments)
                    return [results] if len(self._like) == 1 else list(results)
            compute = self._wide_enough(plain_compute_dtype(x), x)
            in_memory = torch_runner.resolved(arguments)
            if in_memory is not None:
                return self._run(in_memory)
        return torch_runner.run(self._function, self._as_tensors(arguments), shape, dtypes, compute)

    def record(self, *arguments: Tensor | float) -> Tensor | tuple[Tensor, ...]:
        """Computes the outputs in torch's operations, which torch itself differentiates; but no model in ONNX."""
        like = arguments[len(self.inputs) - 1]
        compute = torch_runner.compute_dtype(like.dtype)
        dtypes = [compute if k is None else arguments[k].dtype for k in self._like]
        compute = self._wide_enough(compute, like)
        function = self._function if torch.onnx.is_in_onnx_export() else self._differentiable
        return _plain(torch_runner.evaluate(function, self._as_tensors(arguments), like, dtypes, compute))

    def _wide_enough(self, compute: torch.dtype, like: Tensor) -> torch.dtype:
        """The type in which torch operations compute."""
        if compute == torch.float64 or like.device.type == "mps":  # which has no float64
            return compute
        return torch.float64 if self.in_double(like.dtype) else compute

    def _as_tensors(self, arguments: Sequence[Tensor | float]) -> Sequence[Tensor | float]:
        """The arguments, numbers among them as tensors where the torch function would not take them as they are."""
        if not self.parameters:
            return arguments
        takes, divides = self._of_numbers_alone
        known = [a for a in arguments[len(self.inputs) :] if isinstance(a, (float, int))]
        if not takes and not (divides and 0 in known):
            return arguments
        # In double precision, as Python's numbers; of no dimensions, they do not change the type of what they meet.
        numbers = (a if isinstance(a, Tensor) else torch.full((), a, dtype=torch.float64) for a in arguments)
        return list(numbers)

    def run_kernel(self, arguments, shape, dtypes) -> list[Tensor]:
        """Computes the outputs by the Triton kernel, whatever the device."""
        from actlib.backends import triton_runner

        device = arguments[0].device  # a parameter of one number may be elsewhere
        arguments = [a.to(device) if isinstance(a, Tensor) and a.device != device else a for a in arguments]
        kinds, double = triton_runner.kinds(arguments, shape), self.kernel_in_double(arguments[len(self.inputs) - 1])
        return triton_runner.run(self._kernel(kinds, double), arguments, kinds, shape, dtypes, double)

    def kernel_in_double(self, x: Tensor) -> bool:
        """Whether the Triton kernel computes in float64: where it must, and in float32 where that rounds too often.

        The latter on GPUs alone that are as fast.
        """
        from actlib.backends import triton_runner

        if x.dtype != torch.float32 or self._needs_double:
            return self.in_double(x.dtype)
        return self.numbers(x.dtype) != "single" and triton_runner.computes_in_double(x.device)

    def fitting(self, arguments: Sequence[Tensor | float]) -> Sequence[Tensor | float]:
        """The arguments, numbers as Python's own; an error where they do not fit."""
        if len(arguments) != self._count:
            expected = ", ".join(s.name for s in self.symbols)
            raise ValueError(f"{self.name}({expected}) takes {self._count} arguments, {len(arguments)} came")
        check_tensor(self.name, self.inputs[0].name, arguments[0])
        return arguments if self._count == 1 else torch_runner.unrecorded(self._fitting_others, arguments)

    def _fitting_others(self, arguments: Sequence[Tensor | float]) -> Sequence[Tensor | float]:
        n, first = len(self.inputs), arguments[0]
        for symbol, argument in zip(self.inputs[1:], arguments[1:n], strict=True):
            check_tensor(self.name, symbol.name, argument)
            for what in ("shape", "dtype", "device"):
                here, there = getattr(argument, what), getattr(first, what)
                if here != there:
                    here, there = (tuple(v) if what == "shape" else v for v in (here, there))
                    raise ValueError(
                        f"{self.name}: the inputs must have the same {what}, but {self.inputs[0].name} has {there} "
                        f"and {symbol.name} has {here}"
                    )
        if not self.parameters:
            return arguments
        pairs = zip(self.parameters, arguments[n:], strict=True)
        return [*arguments[:n], *[self._fitting_parameter(s.name, a, first) for s, a in pairs]]

    def _fitting_parameter(self, name: str, argument: Tensor | float, first: Tensor) -> Tensor | float:
        if type(argument) is not float and isinstance(argument, REALS) and not isinstance(argument, bool):
            argument = as_float(self.name, name, argument)
            if not isinstance(argument, float):
                return argument  # not known yet
        if type(argument) is float:
            if torch_runner.BEYOND <= abs(argument) < math.inf and first.dtype != torch.float64:
                raise ValueError(f"{self.name}: {name} must be a number that float32 can hold, but {argument:g} came")
            return argument
        check_tensor(self.name, name, argument, "a real number or ")
        if argument.device != first.device and argument.ndim:
            raise ValueError(f"{self.name}: {name} is on {argument.device}, the input on {first.device}")
        if not broadcasts(argument.shape, first.shape):
            raise ValueError(
                f"{self.name}: {name} of shape {tuple(argument.shape)} does not broadcast to the input's shape "
                f"{tuple(first.shape)}"
            )
        return argument


class _Derived(Elementwise):
    """The derivative of a formula, which may be larger than any formula that is given."""

    def __reduce__(self):
        made, arguments, state = super().__reduce__()
        return (
            made,
            arguments,
            state
            | {
                "_like": self._like,
                "_needs_double": self._needs_double,
                "_half_precision": self._half_precision,
                "_single_precision": self._single_precision,
            },
        )


class _Launches(dict):
    """What computes the outputs of a function at once, by the type of the inputs; None where nothing does."""

    def __init__(self, op: Elementwise):
        self._op = op

    def __missing__(self, dtype: torch.dtype) -> calls.Launch | None:
        op, made = self._op, None
        if dtype in SINGLE and op._has_machine_code:
            sizes = len(op.inputs), len(op.parameters)
            kept, numbers = op._machine_code, op.numbers(dtype)
            made = llvm_runner().launch_of(op.name, op.torch_source, *sizes, dtype, op._like, kept, numbers)
        self[dtype] = made
        return made


def _plain(outputs: list[Tensor]) -> Tensor | tuple[Tensor, ...]:
    return outputs[0] if len(outputs) == 1 else tuple(outputs)


def _as_argument(gradient: Tensor, argument: Tensor) -> Tensor:
    """The gradient of an argument that was broadcast: summed to its shape, in the precision of the computation."""
    return gradient.sum_to_size(argument.shape).to(argument.dtype)


def broadcasts(shape: Sequence[int], target: Sequence[int]) -> bool:
    """Whether a tensor of a shape broadcasts to the target as it is."""
    if len(shape) > len(target):
        return False
    return all(s in (1, t) for s, t in zip(shape, target[len(target) - len(shape) :], strict=True))


@functools.cache
def _has_triton() -> bool:
    return TRITON.load("actlib.backends.triton_runner") is not None


@functools.cache
def llvm_runner() -> ModuleType | None:
    """The runner of machine code for the CPU; None where llvmlite does not serve."""
    return LLVMLITE.load("actlib.backends.llvm_runner")


def plain_compute_dtype(like: Tensor) -> torch.dtype:
    """The type in which torch's operations compute; on a CPU without kernels, and so without fused steps, float64.

    Next to zeros float32 would lose too much there.
    """
    if like.is_cpu and not (llvm_runner() and like.dtype in llvm_runner().DTYPES):
        return torch.float64
    return torch_runner.compute_dtype(like.dtype)


def runs_kernels(arguments: Sequence[Tensor | float]) -> bool:
    """Whether the tensors among the arguments are ordinary ones on a GPU that Triton can serve."""
    if not arguments[0].is_cuda:
        return False
    return torch_runner.are_plain([a for a in arguments if isinstance(a, Tensor)], "cuda") and _has_triton()


def check_tensor(function: str, argument: str, value: object, alternative: str = "") -> None:
    """Raises TypeError, naming function and argument, unless the value is a dense tensor of one of the four types."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{function}: {argument} must be {alternative}a tensor, but {type(value).__name__} came")
    if value.dtype not in FLOATS:
        raise TypeError(
            f"{function}: {argument} must be {alternative}a tensor of float16, bfloat16, float32 or float64, "
            f"but one of {str(value.dtype).removeprefix('torch.')} came"
        )
    check_layout(function, argument, value)


def check_layout(function: str, argument: str, value: Tensor) -> None:
    """Raises TypeError, naming function and argument, for a tensor that is sparse, nested or of another library's."""
    if value.layout is not torch.strided or value.is_nested:
        came = "a nested one" if value.is_nested else f"one of layout {str(value.layout).removeprefix('torch.')}"
        raise TypeError(f"{function}: {argument} must be a dense tensor, but {came} came")


def stands_for_a_tensor(value: object) -> bool:
    """Whether a value is no tensor, but passes for one among torch's functions, as in a graph of torch.fx."""
    return not isinstance(value, Tensor) and has_torch_function((value,))


def nonzero(function: str, argument: str, value: float | Tensor) -> float | Tensor:
    """The argument, by which is divided.

    Raises:
        ValueError: It is 0, or a number that float32 rounds to 0.
    """
    if isinstance(value, numbers.Real) and abs(value) <= 2**-150:
        raise ValueError(f"{function}: {argument} must not be 0, nor so near it, but {value!r} came")
    return value


def as_float(function: str, argument: str, value: float) -> float:
    """A number as a float; as it is where it is not known yet, while a graph is made.

    Raises:
        ValueError: It is beyond all floats.
    """
    if isinstance(value, (torch.SymInt, torch.SymFloat)):
        return value
    try:
        return float(value)
    except OverflowError:
        raise ValueError(
            f"{function}: {argument} must be a number that a float can hold, but one of {type(value).__name__} "
            "came that is too large"
        ) from None


def _check_formula(name, inputs, outputs, parameters) -> None:
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"an Elementwise is named by an identifier, but {name!r} came")
    if keyword.iskeyword(name):
        raise ValueError(f"an Elementwise is named by an identifier, but {name!r} came, a word of Python's own")
    if unicodedata.normalize("NFKC", name) != name:
        raise ValueError(f"Python would read the name {name!r} as another: {unicodedata.normalize('NFKC', name)!r}")
    symbols = (*inputs, *parameters)
    if not inputs or not all(isinstance(s, Symbol) for s in symbols):
        raise ValueError(f"inputs and parameters must be SymPy symbols, at least one input, but {symbols} came")
    if len({s.name for s in symbols}) < len(symbols):
        raise ValueError(f"each symbol needs a name of its own, but {symbols} came")
    unreal = [s for s in symbols if s.is_extended_real is False or not s.is_commutative]
    if unreal:
        raise ValueError(f"symbols stand for real numbers, but {unreal} came, which are assumed to be none")
    if not outputs:
        raise ValueError("at least one formula is needed, but none came")
    for e in outputs:
        if not isinstance(e, (Expr, numbers.Number)):
            raise ValueError(f"a formula is a SymPy expression or a number, but {e!r} came, of {type(e).__name__}")
        if isinstance(e, Expr):
            source.check_size(e)
        unknown = sp.sympify(e).free_symbols - set(symbols)
        if unknown:
            raise ValueError(f"{e} contains {sorted(map(str, unknown))}, which are neither inputs nor parameters")


def _collected(what: str, given: object) -> tuple:
    """Several of something in a tuple, where one alone, or what cannot be counted up, may have come."""
    if isinstance(given, (Expr, numbers.Number)):
        return (given,)
    if isinstance(given, (str, bytes)) or not hasattr(given, "__iter__"):
        raise ValueError(f"{what} come in a sequence, but {given!r} came, of {type(given).__name__}")
    return tuple(given)
