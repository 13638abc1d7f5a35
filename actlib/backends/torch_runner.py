"""Generated torch functions: the primitives they call, and the loop that runs them over a tensor.

They serve what no kernel does: compilers, batched tensors and those without data, float64, and functions that kernels
lack.
"""

import ast
import functools
import itertools
import linecache
import math
import operator
import sys
import weakref
from collections.abc import Callable, Collection, Sequence

import torch
from torch import Tensor
from torch._C._dynamo import eval_frame
from torch._guards import TracingContext

from actlib.backends import PHI_SCALE, PHI_TAIL

TILE = 1 << 16
"""Elements computed at a time on the CPU: the temporaries of a tile stay in cache."""


def load(name: str, source: str) -> Callable:
    """The function that the source defines, with a name and lines that tracebacks and `inspect` can show."""
    return _loaded(name, source, PRIMITIVES | PAIRED_SIGMAS)


def load_differentiable(name: str, source: str) -> Callable:
    """The same in operations of which torch's own derivatives are right, for graphs that torch.jit.trace records."""
    return _loaded(name, source, DIFFERENTIABLE)


def _loaded(name: str, source: str, primitives: dict[str, Callable]) -> Callable:
    file = with_lines(name, source)
    function = define(name, source, primitives, file)
    weakref.finalize(function, linecache.cache.pop, file, None)
    return function


def with_lines(name: str, source: str) -> str:
    """The name of a file that is none: what is compiled under it is shown with its lines, until they are taken away."""
    names = itertools.chain([f"<actlib {name}>"], (f"<actlib {name} {n}>" for n in itertools.count(2)))
    lines = source.splitlines(keepends=True)
    file = next(f for f in names if f not in linecache.cache)
    linecache.cache[file] = (len(source), None, lines, file)
    return file


def define(name: str, source: str, primitives: dict[str, Callable], file: str = "<source>") -> Callable:
    """The function that the source defines, given the primitives that it calls.

    Where it calls sigma(a) and sigma(-a), which can share most of their steps, these become paired_sigma(a) and
    mirrored_sigma(a), and a product of the two becomes sigma_slope(a).
    """
    tree = ast.fix_missing_locations(_Pairs(source).visit(ast.parse(source)))
    defined = {}  # apart from the primitives: a function named tanh calls the primitive, not itself
    exec(compile(tree, file, "exec"), primitives, defined)
    return defined[name]


class _Pairs(ast.NodeTransformer):
    def __init__(self, source: str):
        calls = list(ast.walk(ast.parse(source)))
        self.arguments = {a for a in map(_gated, calls) if a} & {a for c in calls if (a := _gated(c, mirrored=True))}

    def visit_Call(self, node: ast.Call) -> ast.Call:
        self.generic_visit(node)
        for name, argument in (("paired_sigma", _gated(node)), ("mirrored_sigma", _gated(node, mirrored=True))):
            if argument in self.arguments:
                return _call(name, argument)
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.BinOp | ast.Call:
        self.generic_visit(node)
        if isinstance(node.op, ast.Mult) and (last := _paired(node.right)):
            before = node.left.right if isinstance(node.left, ast.BinOp) else node.left
            if isinstance(getattr(node.left, "op", ast.Mult()), ast.Mult) and (first := _paired(before)):
                (name, argument), (other, same) = first, last
                if argument == same and name != other:
                    slope = _call("sigma_slope", argument)
                    return slope if before is node.left else ast.BinOp(node.left.left, ast.Mult(), slope)
        return node


def _call(name: str, argument: str) -> ast.Call:
    return ast.Call(ast.Name(name, ast.Load()), [ast.parse(argument, mode="eval").body], [])


def _paired(node: ast.AST) -> tuple[str, str] | None:
    """Name and argument of one of a pair of sigmas; None for anything else."""
    if isinstance(node, ast.Call) and node.func.id in ("paired_sigma", "mirrored_sigma"):
        return node.func.id, ast.unparse(node.args[0])
    return None


def _gated(node: ast.AST, *, mirrored: bool = False) -> str | None:
    """The text of a in sigma(a), or in sigma(-a); None for anything else."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "sigma"):
        return None
    text = ast.unparse(node.args[0])
    if not mirrored:
        return text
    first = node.args[0]
    while isinstance(first, ast.BinOp) and isinstance(first.op, (ast.Mult, ast.Div)):
        first = first.left
    is_minus = isinstance(first, ast.UnaryOp) and isinstance(first.op, ast.USub)
    return ast.unparse(ast.parse(text[1:])) if is_minus else None


def of_numbers_alone(source: str, numbers: Collection[str]) -> tuple[bool, bool]:
    """Whether a source takes functions or joins conditions of these arguments alone, and whether it divides by them.

    As Python's numbers, the one would be refused by torch's functions, and a division by 0 by Python.
    """
    known, takes, divides = set(numbers), False, False
    for node in ast.parse(source).body[0].body:
        for part in ast.walk(node):
            if isinstance(part, ast.Call) and part.func.id in OF_TENSORS:
                takes = takes or _names(part.args) <= known
            elif isinstance(part, ast.BinOp) and isinstance(part.op, ast.Div):
                divides = divides or _names([part.right]) <= known
            elif isinstance(part, ast.BinOp) and isinstance(part.op, (ast.BitAnd, ast.BitOr)):
                takes = takes or _names([part.left]) <= known or _names([part.right]) <= known
            elif isinstance(part, ast.UnaryOp) and isinstance(part.op, ast.Invert):
                takes = takes or _names([part.operand]) <= known
        if isinstance(node, ast.Assign) and _names([node.value]) <= known:
            known.add(node.targets[0].id)
    return takes, divides


def _names(nodes: Sequence[ast.AST]) -> set[str]:
    """The variables in parts of a source."""
    parts = [part for node in nodes for part in ast.walk(node)]
    called = {id(part.func) for part in parts if isinstance(part, ast.Call)}
    return {part.id for part in parts if isinstance(part, ast.Name) and id(part) not in called}


def compute_dtype(dtype: torch.dtype) -> torch.dtype:
    """Half precision is computed in float32 and rounded once, at the end."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def run(
    function: Callable,
    arguments: Sequence[Tensor | float],
    shape: torch.Size,
    dtypes: Sequence[torch.dtype],
    compute: torch.dtype,
) -> list[Tensor]:
    """Evaluates a generated function on tensors and numbers.

    Args:
        function: What `load` gave.
        arguments: Tensors that broadcast to the shape, the first of them of that very shape; and numbers.
        shape: Shape of the results.
        dtypes: Type of each result.
        compute: Type in which everything is computed.

    Returns:
        One tensor a result, in the memory order of the first tensor of that shape.
    """
    tensors = [a for a in arguments if isinstance(a, Tensor)]
    like = leader(tensors, shape)
    if like.numel() <= TILE or not are_plain(tensors):
        return evaluate(function, arguments, like, dtypes, compute)

    outputs = [torch.empty_like(like, dtype=dtype) for dtype in dtypes]
    order = outputs[0]
    flat = [flatten(a.detach(), order) if isinstance(a, Tensor) and a.numel() > 1 else a for a in arguments]
    flat = [a.detach().to(compute).reshape(()) if isinstance(a, Tensor) and a.numel() == 1 else a for a in flat]
    targets = [flatten(out, order) for out in outputs]

    for start in range(0, like.numel(), TILE):
        tile = slice(start, start + TILE)
        given = [a[tile] if isinstance(a, Tensor) and a.ndim else a for a in flat]
        results = function(*(a.to(compute) if isinstance(a, Tensor) else a for a in given))
        for target, result in zip(targets, results if len(dtypes) > 1 else [results], strict=True):
            target[tile].copy_(result) if isinstance(result, Tensor) else target[tile].fill_(result)
    return outputs


def leader(arguments: Sequence[Tensor | float], shape: torch.Size) -> Tensor:
    """The tensor whose memory order the results take: the first of that shape, an expanded one last."""
    first = arguments[0]
    if first.shape == shape and first.is_contiguous():
        return first
    candidates = [a for a in arguments if isinstance(a, Tensor) and a.shape == shape]
    return next((a for a in candidates if 0 not in a.stride()), candidates[0])


def evaluate(
    function: Callable,
    arguments: Sequence[Tensor | float],
    like: Tensor,
    dtypes: Sequence[torch.dtype],
    compute: torch.dtype,
) -> list[Tensor]:
    """Evaluates a generated function at once, in plain torch; the results have the shape of `like`."""
    check_names(like)
    given = [a.to(compute) if isinstance(a, Tensor) and a.dtype != compute else a for a in arguments]
    results = served(function, given, like)
    made: list[Tensor] = []
    for result, dtype in zip(results if len(dtypes) > 1 else [results], dtypes, strict=True):
        placed = _placed(result, like, dtype)
        # What is written into a result is written into no argument, nor into another result.
        made.append(placed.clone() if any(placed is t for t in (*arguments, *made)) else placed)
    return made


def served(function: Callable, arguments: Sequence[Tensor | float], like: Tensor) -> object:
    """What a function returns.

    Raises:
        TypeError: The class of the tensor `like` lacks one of torch's operations that the function takes.
    """
    try:
        return function(*arguments)
    except (TypeError, ValueError, RecursionError) as error:
        if type(like).__torch_dispatch__ is Tensor.__torch_dispatch__:
            raise
        raise TypeError(
            f"a tensor whose class knows all of torch's operations is expected, but a {type(like).__name__} came"
        ) from error


def check_names(x: Tensor) -> None:
    """Raises TypeError for a tensor whose dimensions have names, which not all of torch's operations take."""
    if _NAMED and keys_of(x).raw_repr() & _NAMED:
        raise TypeError(f"a tensor whose dimensions have no names is expected, but one with names {x.names} came")


def flatten(tensor: Tensor, order: Tensor) -> Tensor:
    """The elements as one dense row, in the memory order of the dense tensor `order`; a view where it can be."""
    if tensor.shape != order.shape or tensor.stride() != order.stride():
        tensor = torch.empty_like(order, dtype=tensor.dtype).copy_(tensor)
    return tensor.as_strided((tensor.numel(),), (1,))


def _placed(result: Tensor | float, like: Tensor, dtype: torch.dtype) -> Tensor:
    if not isinstance(result, Tensor):
        return torch.full_like(like, result, dtype=dtype)
    if shape(result) != shape(like):
        return torch.empty_like(like, dtype=dtype).copy_(result)
    # Where arguments differ in memory order, torch may have taken another one's; the compiler decides for itself.
    if not in_compiler() and _recorder() is None and result.numel() and result.stride() != like.stride():
        target = torch.empty_like(like, dtype=dtype)
        return result.to(dtype) if result.stride() == target.stride() else target.copy_(result)
    return result.to(dtype)


def in_compiler() -> bool:
    """Whether a graph is being made, by torch.compile or for export."""
    # Of a call that is not looked into, torch.compiler does not know so before version 2.13.
    return torch.compiler.is_compiling() or TracingContext.try_get() is not None


def is_plain(x: Tensor, device: str = "cpu") -> bool:
    """Whether x is an ordinary tensor on a device, whose elements may be read where its address and strides say.

    What may be read is listed, by the keys with which torch finds the code for a tensor. Whatever has another key goes
    through torch's operations: other layouts, tensors that are negated on reading or stand for zeros that nowhere
    are, batched, wrapped or recorded ones, and those of classes with operations of their own.
    """
    return not keys_of(x).raw_repr() & _FOREIGN[device]


def are_plain(tensors: Sequence[Tensor], device: str = "cpu") -> bool:
    """Whether all are ordinary tensors on the device, and nobody listens to what is done to them.

    One number, without dimensions, may be on the CPU.
    """
    return not is_heard() and all(
        is_plain(t, device) or (device != "cpu" and not t.ndim and is_plain(t)) for t in tensors
    )


BEYOND = 2.0**128 - 2.0**103
"""The least number that float32 rounds to infinity."""


def _perhaps_a_compiler() -> bool | None:
    return True if "torch._dynamo" in sys.modules else None


compiler_in_force = getattr(eval_frame, "get_eval_frame_callback", _perhaps_a_compiler)
"""Gives None where torch.compile does not look at the code that runs; old versions of torch do not tell."""


def unseen(function: Callable) -> Callable:
    """A function of addresses that torch.compile does not look into, wherever it comes across it.

    It comes across all that is called where it gave up, or in a backward pass. Code that it made over keeps no tensor
    that is not named again, though its memory is still written to.
    """

    @functools.wraps(function)
    def call(*arguments, **options):
        if compiler_in_force() is None:
            return function(*arguments, **options)
        compiler = eval_frame.set_eval_frame(None)
        try:
            return function(*arguments, **options)
        finally:
            eval_frame.set_eval_frame(compiler)

    call._torchdynamo_disable = True  # as torch.compiler.disable, whose import takes seconds
    return call


def address(tensor: Tensor) -> int:
    """Where the elements of an ordinary tensor begin.

    Raises:
        ValueError: They are nowhere: the storage has been freed, as by `resize_(0)`.
    """
    place = tensor.data_ptr()
    if not place and tensor.numel():
        raise ValueError(
            f"a tensor with elements is expected, but one of shape {tuple(tensor.shape)} and no memory came"
        )
    return place


def is_heard() -> bool:
    """Whether somebody listens to what is done to tensors, who must be told of each step.

    Modes, tracers and transforms do: each of them adds a key to all that this thread does.
    """
    return bool(keys_in_force().raw_repr() & _LISTENING)


def shape(x: Tensor) -> torch.Size:
    """The shape of x, in numbers; torch.jit.trace would make each of them a tensor and write it down."""
    return x.shape if _recorder() is None else unrecorded(getattr, x, "shape")


def unrecorded(function: Callable, *arguments: object) -> object:
    """What a function of shapes returns, which torch.jit.trace shall not write down."""
    recorder = _recorder()
    if recorder is None:
        return function(*arguments)
    torch._C._set_tracing_state(None)
    try:
        return function(*arguments)
    finally:
        torch._C._set_tracing_state(recorder)


def resolved(arguments: Sequence[Tensor | float]) -> list[Tensor | float] | None:
    """The arguments with all their elements in memory, where some are negated on reading or zeros that nowhere are.

    None where there are no such arguments, or none whose elements may be looked at.
    """
    if is_heard():
        return None
    made = [_in_memory(a) if isinstance(a, Tensor) else a for a in arguments]
    return None if all(a is b for a, b in zip(made, arguments, strict=True)) else made


def _in_memory(x: Tensor) -> Tensor:
    keys = keys_of(x).raw_repr()
    device = x.device.type
    if device not in _FOREIGN or not keys & _LAZY or keys & _FOREIGN[device] & ~_LAZY:
        return x
    if x._is_zerotensor():
        return torch.zeros(x.shape, dtype=x.dtype, device=x.device)
    return x.resolve_neg()


def _bits(*names: str) -> int:
    sets = (torch._C.DispatchKeySet(torch._C._parse_dispatch_key(name)).raw_repr() for name in names)
    return functools.reduce(operator.or_, sets, 0)


def _choices(always: str | None, *names: str) -> frozenset[int]:
    """Every set of keys that has the one, and any of the others."""
    first = _bits(always) if always else 0
    return frozenset(
        first | _bits(*some) for count in range(len(names) + 1) for some in itertools.combinations(names, count)
    )


keys_of = torch._C._dispatch_keys
keys_in_force = torch._C._dispatch_tls_local_include_set
_recorder = torch._C._get_tracing_state
_BESIDE = ("Autograd{}", "Autocast{}", "ADInplaceOrView")
"""Keys that an ordinary tensor may have beside that of its device."""
_FOREIGN = {
    device: ~_bits(key, *(name.format(key) for name in _BESIDE)) for device, key in (("cpu", "CPU"), ("cuda", "CUDA"))
}
"""By device, all keys but those of an ordinary tensor."""
_QUIET = ("BackendSelect", "ADInplaceOrView")
_LISTENING = ~_bits(*_QUIET)
"""All keys but those that are in force where nobody listens."""
PLAIN = _choices("CPU", *(name.format("CPU") for name in _BESIDE))
"""The sets of keys of ordinary tensors on the CPU."""
UNHEARD = _choices(None, *_QUIET)
"""The sets of keys that are in force where nobody listens."""
_LAZY = _bits("Negative", "ZeroTensor")
_NAMED = _bits("Named") if hasattr(Tensor, "names") else 0  # newer versions of torch name no dimensions


def decay(x):
    """exp(-|x|), of a tensor or a number."""
    return torch.exp(-x.abs()) if isinstance(x, Tensor) else math.exp(-abs(x))


def sigma(x):
    e = decay(x)
    return where(x < 0, e, 1) / (1 + e)


def mirrored_sigma(x):
    """sigma(-x), by the steps of sigma(x)."""
    e = decay(x)
    return where(x < 0, 1, e) / (1 + e)


def sigma_slope(x):
    """sigma(x) sigma(-x)."""
    e = decay(x)
    return e / square(1 + e)


def log1p(x):
    """log(1 + x) of what is not negative."""
    if not torch.onnx.is_in_onnx_export():
        return torch.log1p(x)
    # ONNX has none, and takes log(1 + x), which loses small x. Kahan: the rounding of 1 + x cancels in the quotient.
    y = 1 + x
    return where(y == 1, x, torch.log(y) * (x / where(y == 1, 1, y - 1)))


def softplus(x):
    return x.clamp(min=0) + log1p(torch.exp(-x.abs()))


def Phi(x):
    if x.dtype == torch.float64:
        return torch.special.erfc(x * -math.sqrt(0.5)) * 0.5  # not 1 + erf, which loses all its digits below -5.5
    tail = torch.exp(x * x * -0.5) * Phi_tail(x)
    return where(x > 0, 1 - tail, tail)


def Phi_tail(x):
    if x.dtype == torch.float64:
        return torch.special.erfcx(x.abs() * math.sqrt(0.5)) * 0.5
    u = 1 / (1 + PHI_SCALE * x.abs())
    p = torch.full_like(u, PHI_TAIL[-1])
    for coefficient in PHI_TAIL[-2::-1]:
        p = p * u + coefficient
    return u * p


def phi(x):
    return torch.exp(x * x * -0.5) * 0.3989422804014327


def expm1(x):
    # torch's compiler turns its own into exp(x) - 1, which cancels near 0.
    if x.dtype == torch.float64:
        return torch.tanh(x * 0.5) * (torch.exp(x) + 1)
    series = torch.full_like(x, 1 / math.factorial(9))
    for n in range(8, 0, -1):
        series = series * x + 1 / math.factorial(n)
    return where(x.abs() < 0.5, series * x, torch.exp(x) - 1)


def sinh(x):
    size = x.abs()
    m, h = expm1(size.clamp(max=1)), torch.exp(size * 0.5)  # of large numbers the half: exp may overflow before sinh
    return torch.copysign(where(size < 1, (m + m / (m + 1)) * 0.5, h * 0.5 * h - 0.5 / h / h), x)


def cosh(x):
    h = torch.exp(x.abs() * 0.5)
    return h * 0.5 * h + 0.5 / h / h


def cosatan(x):
    size = x.abs()
    # From 2^30 on, what is added to x^2 is rounded away.
    return where(size > 2.0**30, 1 / size, torch.rsqrt(1 + square(size.clamp(max=2.0**30))))


def damped(factor, by):
    return where(by == 0, 0, factor * by)


def where(condition, value, other):
    if not isinstance(condition, Tensor):
        return value if condition else other
    if not isinstance(value, Tensor) and not isinstance(other, Tensor):
        # In double precision, not in that of the default type; the NaN of x, put in next, brings the type back.
        value, other = (torch.full((), n, dtype=torch.float64, device=condition.device) for n in (value, other))
    return torch.where(condition, value, other)


def unless_nan(value, x):
    return where(x == x, value.to(x.dtype) if isinstance(value, Tensor) and isinstance(x, Tensor) else value, x)


def square(x):
    return x * x


def cube(x):
    return x * x * x


def power(x, exponent):
    return x**exponent


PRIMITIVES = {
    "sigma": sigma,
    "softplus": softplus,
    "Phi": Phi,
    "Phi_tail": Phi_tail,
    "phi": phi,
    "tanh": torch.tanh,
    "expm1": expm1,
    "sinh": sinh,
    "cosh": cosh,
    "atan": torch.atan,
    "asinh": torch.asinh,
    "cosatan": cosatan,
    "exp": torch.exp,
    "log": torch.log,
    "sqrt": torch.sqrt,
    "sin": torch.sin,
    "cos": torch.cos,
    "erf": torch.erf,
    "absolute": torch.abs,
    "sign": torch.sign,
    "damped": damped,
    "where": where,
    "unless_nan": unless_nan,
    "square": square,
    "cube": cube,
    "power": power,
}

PAIRED_SIGMAS = {"paired_sigma": sigma, "mirrored_sigma": mirrored_sigma, "sigma_slope": sigma_slope}
"""What takes the place of sigma(x) and sigma(-x) where a formula has both."""

OF_TENSORS = PRIMITIVES.keys() - {"damped", "where", "unless_nan", "square", "cube"}
"""The primitives that take tensors alone."""


def _damped(factor, by):
    return where(by == 0, 0, factor) * by  # of factor * by, the derivative would hold the infinite factor


DIFFERENTIABLE = PRIMITIVES | {
    "sigma": torch.sigmoid,
    "paired_sigma": torch.sigmoid,
    "mirrored_sigma": lambda x: torch.sigmoid(-x),
    "sigma_slope": lambda x: torch.sigmoid(x) * torch.sigmoid(-x),
    "softplus": lambda x: torch.nn.functional.softplus(x, 1, 40),  # beyond 40 it is x in float64, too
    "Phi": lambda x: torch.special.erfc(x * -math.sqrt(0.5)) * 0.5,
    "expm1": lambda x: torch.tanh(x * 0.5) * (torch.exp(x) + 1),
    "damped": _damped,
}
"""Primitives whose derivative torch knows, at 0 too."""
