"""Bad calls, made up by hypothesis: each is refused with the right kind of error, in words that say what came.

A call is put together from arguments that may each be good or bad; a small oracle says which errors it deserves. A good
call must go through, so that no refusal is too strict.
"""

import re
import warnings

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from formulas import ELEMENTWISE, every_elementwise

import actlib
from actlib.elementwise import FLOATS

FEW = hypothesis.settings(max_examples=60, deadline=None, derandomize=True, database=None)

OTHER_TYPES = (torch.int8, torch.int32, torch.int64, torch.uint8, torch.bool, torch.complex64, torch.float8_e5m2)
NO_TENSORS = (None, 1, 1.5, True, "x", [1.0], (1.0, 2.0), {"x": 1}, np.zeros(2), np.float32(1), object())
NO_NUMBERS = (None, True, "1", [1.0], 1j, np.zeros(2), object())

dtypes = st.sampled_from(FLOATS)
shapes = st.lists(st.integers(0, 3), max_size=3).map(tuple)
tensors = st.builds(lambda s, t: torch.ones(s, dtype=t), shapes, st.one_of(dtypes, st.sampled_from(OTHER_TYPES)))
anything = st.one_of(tensors, st.sampled_from(NO_TENSORS))
good_tensors = st.builds(lambda s, t: torch.ones(s, dtype=t), shapes, dtypes)


def is_float_tensor(value):
    return isinstance(value, torch.Tensor) and value.dtype in FLOATS


def is_number(value):
    return isinstance(value, (int, float, np.floating)) and not isinstance(value, bool)


def broadcasts(shape, target):
    try:
        return torch.broadcast_shapes(shape, target) == target
    except RuntimeError:
        return False


def check(deserved, function, *arguments, **options):
    """Calls the function. It must go through, or be refused with one of the errors deserved, and say what came."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not deserved:
            return function(*arguments, **options)
        with pytest.raises(tuple(deserved)) as caught:
            function(*arguments, **options)
    message = str(caught.value)
    assert re.search(r"\bcame\b|\bhas\b|does not broadcast|is on", message), message
    assert type(caught.value) in deserved
    return None


@every_elementwise
@FEW
@hypothesis.given(data=st.data())
def test_any_inputs(activation, data):
    first = data.draw(anything)
    # Half of the time the others go with the first, so that good calls are tried too.
    inputs = [first, *(data.draw(st.one_of(st.just(first), anything)) for _ in activation.inputs[1:])]
    deserved = set()
    if not all(map(is_float_tensor, inputs)):
        deserved.add(TypeError)
    tensors_in = [t for t in inputs if is_float_tensor(t)]
    if len({(t.shape, t.dtype) for t in tensors_in}) > 1:
        deserved.add(ValueError)
    result = check(deserved, activation.function, *inputs)
    if result is not None:
        assert (result.shape, result.dtype) == (first.shape, first.dtype)


WITH_PARAMETERS = [a for a in ELEMENTWISE if a.op.parameters]


@pytest.mark.parametrize("activation", WITH_PARAMETERS, ids=lambda a: a.name)
@FEW
@hypothesis.given(data=st.data())
def test_any_parameters(activation, data):
    first = data.draw(good_tensors)
    numbers = st.sampled_from([0.5, 2, np.float64(1.5)])
    given = [
        data.draw(st.one_of(numbers, st.sampled_from(NO_NUMBERS), tensors, shapes.map(torch.ones)))
        for _ in activation.op.parameters
    ]
    deserved = set()
    for value in given:
        if not is_number(value) and not is_float_tensor(value):
            deserved.add(TypeError)
        elif is_float_tensor(value) and not broadcasts(value.shape, first.shape):
            deserved.add(ValueError)
    names = [s.name for s in activation.op.parameters]
    inputs = [first] * len(activation.inputs)
    result = check(deserved, activation.function, *inputs, **dict(zip(names, given, strict=True)))
    if result is not None:
        assert (result.shape, result.dtype) == (first.shape, first.dtype)


@pytest.mark.parametrize("function", [actlib.softmax, actlib.log_softmax], ids=lambda f: f.__name__)
@FEW
@hypothesis.given(data=st.data())
def test_any_rows(function, data):
    given = data.draw(st.one_of(good_tensors, anything))
    dim = data.draw(st.one_of(st.integers(-4, 4), st.sampled_from([0.0, "0", True, (0,), torch.tensor(0)])))
    dtype = data.draw(st.sampled_from([None, None, *FLOATS, torch.int32, torch.complex64, "float32", 1]))
    where = data.draw(st.one_of(st.none(), shapes.map(lambda s: torch.ones(s, dtype=torch.bool)), anything))
    deserved = set()
    is_tensor = isinstance(given, torch.Tensor)
    takes = is_float_tensor(given) or (is_tensor and dtype in FLOATS and not given.is_complex())
    if not takes or type(dim) is not int or dtype not in (None, *FLOATS):
        deserved.add(TypeError)
    if is_tensor and type(dim) is int and not -max(given.ndim, 1) <= dim < max(given.ndim, 1):
        deserved.add(IndexError)
    if where is not None:
        if not isinstance(where, torch.Tensor) or where.dtype != torch.bool:
            deserved.add(TypeError)
        elif is_tensor and not broadcasts(where.shape, given.shape):
            deserved.add(ValueError)
    result = check(deserved, function, given, dim, dtype, where=where)
    if result is not None:
        assert (result.shape, result.dtype) == (given.shape, dtype or given.dtype)


@pytest.mark.parametrize("function", [actlib.gelu, actlib.geglu], ids=lambda f: f.__name__)
@FEW
@hypothesis.given(
    approximate=st.one_of(st.sampled_from(["none", "tanh", "sigmoid"]), st.text(), st.integers(), st.none())
)
def test_any_approximation(function, approximate):
    inputs = [torch.ones(2)] * (2 if function is actlib.geglu else 1)
    deserved = set() if approximate in ("none", "tanh", "sigmoid") else {ValueError}
    check(deserved, function, *inputs, approximate=approximate)


@pytest.mark.parametrize("name", ["relu", "elu", "leaky_relu", "silu", "selu", "celu", "relu6", "mish", "hardswish"])
@pytest.mark.parametrize("inplace", [0, 1, None, "yes", torch.tensor(True)])
def test_inplace_is_a_bool(name, inplace):
    x = torch.ones(2)
    with pytest.raises(TypeError, match=f"{name}: inplace must be True or False, but .* came"):
        getattr(actlib, name)(x, inplace=inplace)
    assert torch.equal(x, torch.ones(2))
