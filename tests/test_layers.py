"""Layers: the gated family with its parameters, a learnable beta, and models of others with actlib's layers put in."""

import copy
import functools
import inspect
import math
import pickle

import pytest
import sympy as sp
import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

import actlib
from actlib import ACTIVATIONS, accuracy
from actlib.book import training

GATED = {
    actlib.GLU: torch.sigmoid,
    actlib.Bilinear: lambda t: t,
    actlib.ReGLU: torch.relu,
    actlib.GEGLU: functional.gelu,
    actlib.SwiGLU: functional.silu,
}
every_gated = pytest.mark.parametrize(("layer", "gate"), GATED.items(), ids=lambda v: getattr(v, "__name__", ""))


@every_gated
@pytest.mark.parametrize("bias", [True, False])
def test_gated_layer_is_its_formula(layer, gate, bias):
    made = layer(5, 7, bias=bias, dtype=torch.float64)
    x = torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True)
    b, d = (made.b, made.d) if bias else (0, 0)
    expected = gate(x @ made.W.T + b) * (x @ made.V.T + d)
    torch.testing.assert_close(made(x), expected)
    given = [x, *made.parameters()]
    sent = torch.randn_like(expected)
    for ours, theirs in zip(*(torch.autograd.grad(y, given, sent) for y in (made(x), expected)), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert {n: tuple(p.shape) for n, p in made.named_parameters()} == {"W": (7, 5), "V": (7, 5)} | (
        {"b": (7,), "d": (7,)} if bias else {}
    )


def test_swiglu_gradients_agree_with_finite_differences():
    made = actlib.SwiGLU(3, 4, dtype=torch.float64)
    x = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    names, values = zip(*made.named_parameters(), strict=True)
    call = lambda x, *ps: torch.func.functional_call(made, dict(zip(names, ps, strict=True)), (x,))
    assert torch.autograd.gradcheck(call, (x, *values))
    assert torch.autograd.gradgradcheck(call, (x, *values))


@every_gated
def test_gated_layer_is_kept_and_copied(layer, gate):
    made, x = layer(5, 7), torch.randn(2, 5)
    loaded = layer(5, 7)
    assert not torch.equal(loaded(x), made(x))
    loaded.load_state_dict(made.state_dict())
    for again in (loaded, copy.deepcopy(made), pickle.loads(pickle.dumps(made)), nn.Sequential(made)):
        assert torch.equal(again(x), made(x))
    assert repr(made) == f"{layer.__name__}(in_features=5, hidden_features=7, bias=True)"
    nn.utils.parametrize.register_parametrization(made, "W", nn.Softplus())
    torch.testing.assert_close(
        made(x), gate(functional.linear(x, made.W, made.b)) * functional.linear(x, made.V, made.d)
    )
    assert (made.W > 0).all()


@every_gated
def test_gated_layer_under_autocast_and_compiled(layer, gate):  # noqa: ARG001
    made, x = layer(5, 7), torch.randn(2, 5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert made(x).dtype == torch.bfloat16
    torch.compiler.reset()
    torch.testing.assert_close(torch.compile(made, fullgraph=True)(x), made(x))


def test_a_gate_keeps_two_tensors_where_torchs_composition_keeps_three():
    gate, value = (torch.randn(8, requires_grad=True) for _ in range(2))
    ours = training.kept_for_backward(lambda t: actlib.swiglu(t, value), gate)
    theirs = training.kept_for_backward(lambda t: functional.silu(t) * value, gate)
    assert (len(ours), len(theirs)) == (2, 3)
    assert ours[1].data_ptr() == value.data_ptr()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((5.0, 7), TypeError, "in_features must be an int, but float came"),
        ((5, True), TypeError, "hidden_features must be an int, but bool came"),
        ((0, 7), ValueError, "in_features must be at least 1, but 0 came"),
        ((5, -1), ValueError, "hidden_features must be at least 1, but -1 came"),
        ((5, 7, 1), TypeError, "bias must be True or False, but 1 came"),
    ],
)
def test_bad_widths_are_refused_in_words(arguments, error, message):
    for layer in GATED:
        with pytest.raises(error, match=f"{layer.__name__}: {message}"):
            layer(*arguments)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ([1.0] * 5, TypeError, "x must be a tensor of .* but list came"),
        (torch.ones(5).int(), TypeError, "x must be a tensor of .* but int32 came"),
        (torch.ones(2, 4), ValueError, r"x must have the shape \(\.\.\., 5\), but \(2, 4\) came"),
        (torch.tensor(1.0), ValueError, r"x must have the shape \(\.\.\., 5\), but \(\) came"),
        (torch.ones(5).double(), ValueError, "x must be of torch.float32 as the parameters, but torch.float64 came"),
    ],
)
def test_bad_inputs_of_gated_layers_are_refused_in_words(x, error, message):
    for layer in GATED:
        with pytest.raises(error, match=f"{layer.__name__}: {message}"):
            layer(5, 7)(x)


@pytest.mark.parametrize("shape", [(), (4,), (3, 1), (2, 3, 4)], ids=str)
def test_learnable_beta_gets_a_gradient_of_its_shape(shape):
    beta = torch.rand(shape, dtype=torch.float64) + 0.5
    layer, x = actlib.Swish(beta, learnable=True), torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    layer(x).sum().backward()
    assert layer.beta.grad.shape == shape
    sigmoid = torch.sigmoid(beta * x)
    torch.testing.assert_close(layer.beta.grad, (x**2 * sigmoid * (1 - sigmoid)).detach().sum_to_size(shape))
    assert list(layer.state_dict()) == ["beta"]
    assert torch.autograd.gradcheck(actlib.swish, (x, layer.beta), check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(actlib.swish, (x, layer.beta))
    assert torch.autograd.gradcheck(actlib.swiglu, (x, x.detach().cos(), layer.beta))


def test_slope_in_beta_is_the_formulas():
    x, beta = sp.symbols("x beta", real=True)
    rate = actlib.swish(torch.tensor(1.5).double(), b := torch.tensor(0.7, dtype=torch.float64, requires_grad=True))
    truth = sp.diff(x / (1 + sp.exp(-beta * x)), beta).subs({x: sp.Rational(3, 2), beta: sp.Rational(7, 10)})
    assert torch.autograd.grad(rate, b)[0].item() == pytest.approx(float(truth), rel=1e-14)


def test_beta_is_a_number_or_a_buffer_unless_it_is_learnt():
    assert not list(actlib.Swish(2.0).parameters())
    assert repr(actlib.Swish(2.0)) == "Swish(beta=2)"
    per_channel = actlib.Swish(torch.tensor([1.0, 2.0]))
    assert [n for n, _ in per_channel.named_buffers()] == ["beta"]
    assert isinstance(actlib.Swish(learnable=True).beta, nn.Parameter)
    with pytest.raises(TypeError, match="beta must be a number or a tensor, but str came"):
        actlib.Swish("1")


SINGLE = [a for a in ACTIVATIONS.values() if a.op is not None and len(a.inputs) == 1]


@pytest.mark.parametrize("activation", SINGLE, ids=lambda a: a.name)
def test_checkpointing_a_layer_changes_nothing(activation):
    model = nn.Sequential(nn.Linear(4, 4), activation.layer(), nn.Linear(4, 1))
    x = torch.randn(3, 4, requires_grad=True)
    (plain,) = torch.autograd.grad(model(x).sum(), x)
    output = checkpoint(model, x, use_reentrant=False)
    assert torch.equal(plain, torch.autograd.grad(output.sum(), x)[0])


FROM_TORCH = {
    nn.ReLU: lambda m: actlib.ReLU(m.inplace),
    nn.ReLU6: lambda m: actlib.ReLU6(m.inplace),
    nn.SiLU: lambda m: actlib.SiLU(m.inplace),
    nn.GELU: lambda m: actlib.GELU(m.approximate),
    nn.Tanh: lambda _: actlib.Tanh(),
    nn.Sigmoid: lambda _: actlib.Sigmoid(),
    nn.Hardswish: lambda m: actlib.Hardswish(m.inplace),
    nn.Softmax: lambda m: actlib.Softmax(m.dim),
}


def put_in(model):
    """Puts actlib's layers in the place of torch's; how many."""
    count = 0
    for parent in model.modules():
        for name, child in list(parent.named_children()):
            if type(child) in FROM_TORCH:
                setattr(parent, name, FROM_TORCH[type(child)](child))
                count += 1
    return count


def models():
    """Small models from a well-known library: how each is made, its input, and what it is expected to use."""
    import transformers as t

    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 50}
    eager = {"attn_implementation": "eager"}
    tokens = torch.arange(24).view(2, 12) % 50
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    widths = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]}
    return {
        "BERT": (
            lambda: t.BertModel(t.BertConfig(**small, **eager, intermediate_size=48)),
            tokens,
            {"softmax", "gelu"},
        ),
        "Llama": (
            lambda: t.LlamaModel(t.LlamaConfig(**small, **eager, intermediate_size=48)),
            tokens,
            {"softmax", "silu"},
        ),
        "Gemma": (
            lambda: t.GemmaModel(
                t.GemmaConfig(**small, **eager, intermediate_size=48, head_dim=8, num_key_value_heads=4)
            ),
            tokens,
            {"softmax", "gelu"},
        ),
        "ResNet": (lambda: t.ResNetModel(t.ResNetConfig(**widths, layer_type="basic")), images, {"ReLU"}),
        "MobileNet": (
            lambda: t.MobileNetV2Model(t.MobileNetV2Config(image_size=32, depth_multiplier=0.35)),
            images,
            {"ReLU6"},
        ),
    }


@pytest.mark.parametrize("name", ["BERT", "Llama", "Gemma", "ResNet", "MobileNet"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_a_model_of_others_gives_the_same(name, monkeypatch):
    make, inputs, expected = models()[name]
    torch.manual_seed(0)
    model = make().double().train(False)
    names = ("softmax", "log_softmax", "gelu", "silu", "relu", "relu6", "sigmoid", "tanh", "hardswish")
    used = {f"{type(m).__name__}" for m in model.modules() if type(m) in FROM_TORCH}

    def counting(function):
        def call(*arguments, **options):
            used.add(function.__name__)
            return function(*arguments, **options)

        return call

    def run(model):
        state = model(inputs).last_hidden_state
        return state, *torch.autograd.grad(state.square().mean(), [p for p in model.parameters() if p.requires_grad],
                                           allow_unused=True, materialize_grads=True)  # fmt: skip

    theirs = run(model)
    with monkeypatch.context() as patch:
        for function in names:
            patch.setattr(functional, function, counting(getattr(actlib, function)))
        torch.manual_seed(0)
        swapped = make().double().train(False)  # some layers of theirs take hold of the function when they are made
        swapped.load_state_dict(model.state_dict())
        layers = put_in(swapped)
        ours = run(swapped)
    assert expected <= used
    assert layers or used
    # Llama and Gemma take softmax in float32, in a model of float64, too.
    tolerance = {"rtol": 1e-4, "atol": 1e-6} if name in ("Llama", "Gemma") else {"rtol": 1e-9, "atol": 1e-11}
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, **tolerance)


INPLACE = [a for a in SINGLE if "inplace" in inspect.signature(a.function).parameters]


@pytest.mark.parametrize("activation", INPLACE, ids=lambda a: a.name)
def test_inplace_writes_the_result_into_the_input(activation):
    x = torch.linspace(-4, 4, 50, dtype=torch.float64)
    expected = activation.function(x)
    given = x.clone()
    assert activation.function(given, inplace=True) is given
    assert torch.equal(given, expected)
    # torch.nn's own name for it, in a layer; and the slope is that of the old input, which is no longer there.
    leaf = x.clone().requires_grad_()
    between = leaf * 1
    result = activation.layer(inplace=True)(between)
    assert result is between
    (slope,) = torch.autograd.grad(result.sum(), leaf)
    torch.testing.assert_close(slope, accuracy.slope(activation.function, x))
    with pytest.raises(RuntimeError, match="leaf Variable that requires grad"):
        activation.function(leaf, inplace=True)
    assert torch.equal(leaf, x)


def clamped_by_torch(gate, value, alpha=1.0, offset=0.0, limit=10.0):
    """As gpt-oss computes it, with its numbers or others."""
    gate, value = gate.clamp(max=limit), value.clamp(-limit, limit)
    return gate * torch.sigmoid(alpha * gate) * (value + offset)


GPT_OSS = {"alpha": 1.702, "offset": 1.0, "limit": 7.0}
CLAMPS = {"gpt-oss": GPT_OSS, "DeepSeek-V4": {}, "none": {"limit": math.inf}}
every_clamp = pytest.mark.parametrize("numbers", CLAMPS.values(), ids=CLAMPS.keys())


@every_clamp
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_clamped_swiglu_is_torchs_composition_with_its_slopes_at_the_clamps(numbers, dtype):
    limit = numbers.get("limit", 10.0)
    limit = limit if limit < math.inf else 20.0
    ends = torch.tensor([-limit, limit], dtype=dtype)
    numbers_here = torch.cat(
        [torch.linspace(-15, 15, 31, dtype=dtype), ends, *(torch.nextafter(ends, e * ends) for e in (0, 2))]
    )
    gate, value = (t.flatten().requires_grad_() for t in torch.meshgrid(numbers_here, numbers_here, indexing="ij"))
    ours, theirs = actlib.clamped_swiglu(gate, value, **numbers), clamped_by_torch(gate, value, **numbers)
    torch.testing.assert_close(ours, theirs)
    sent = torch.randn_like(ours)
    torch.testing.assert_close(*(torch.autograd.grad(y, (gate, value), sent) for y in (ours, theirs)))
    for at in (ends[:1], ends[1:]):  # just at a limit a gradient passes
        for given in ((at, 0 * at + 0.5), (0 * at + 0.5, at)):
            slopes = [
                [accuracy.slope(functools.partial(f, **numbers), *given, wanted=i) for i in (0, 1)]
                for f in (actlib.clamped_swiglu, clamped_by_torch)
            ]
            torch.testing.assert_close(*slopes)


def test_no_gradient_passes_a_clamp_not_even_an_infinite_one():
    gate = torch.tensor([11.0, 1.0], requires_grad=True)
    value = torch.tensor([1.0, -12.0], requires_grad=True)
    gradients = torch.autograd.grad(actlib.clamped_swiglu(gate, value), (gate, value), torch.full((2,), torch.inf))
    assert gradients[0][0] == 0
    assert gradients[1][1] == 0


def test_clamped_swiglu_gradients_agree_with_finite_differences():
    gate, value = (torch.linspace(-9, 9, 12, dtype=torch.float64).roll(5 * i).requires_grad_() for i in range(2))
    numbers = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (1.3, 0.5, 4.0)]
    arguments = (gate, value, *numbers)
    assert torch.autograd.gradcheck(actlib.clamped_swiglu, arguments, check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(actlib.clamped_swiglu, arguments)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_accuracy_with_the_numbers_of_gpt_oss(dtype):
    op = ACTIVATIONS["clamped_swiglu"].op
    formula = op.outputs[0].subs({s: sp.Rational(str(GPT_OSS[s.name])) for s in op.parameters})
    function = lambda gate, value: actlib.clamped_swiglu(gate, value, **GPT_OSS)
    if dtype == torch.float32:
        assert max(accuracy.single_errors(formula, op.inputs, function, 1 << 18)) <= accuracy.SINGLE_BAR
        return
    inputs = accuracy.paired(accuracy.every_finite(dtype)[::5], 2)
    reference = accuracy.Reference(formula, op.inputs, *inputs)
    assert reference.value_errors(function).max() <= 0.55
    assert reference.slope_errors(function).max() <= 0.55


@every_clamp
def test_clamped_layer_is_its_formula(numbers):
    made, x = actlib.ClampedSwiGLU(5, 7, dtype=torch.float64, **numbers), 9 * torch.randn(4, 5, dtype=torch.float64)
    torch.testing.assert_close(made(x), clamped_by_torch(x @ made.W.T + made.b, x @ made.V.T + made.d, **numbers))
    for again in (copy.deepcopy(made), pickle.loads(pickle.dumps(made)), nn.Sequential(made)):
        assert torch.equal(again(x), made(x))
    assert [*made.state_dict()] == [*actlib.SwiGLU(5, 7).state_dict()]
    assert repr(actlib.ClampedSwiGLU(5, 7)) == (
        "ClampedSwiGLU(in_features=5, hidden_features=7, bias=True, alpha=1, offset=0, limit=10)"
    )
    torch.compiler.reset()
    single = made.float()
    torch.testing.assert_close(torch.compile(single, fullgraph=True)(x.float()), single(x.float()))


@pytest.mark.parametrize("limit", [0, -7.0, math.nan])
def test_a_limit_that_is_not_above_0_is_refused_in_words(limit):
    for call in (lambda: actlib.clamped_swiglu(torch.ones(2), torch.ones(2), limit=limit),
                 lambda: actlib.ClampedSwiGLU(2, 2, limit=limit)):  # fmt: skip
        with pytest.raises(ValueError, match=f"limit must be above 0, but {limit} came"):
            call()
    with pytest.raises(TypeError, match="ClampedSwiGLU: alpha must be a number, but str came"):
        actlib.ClampedSwiGLU(2, 2, alpha="1")


SHAPES = {(): 1, (4,): 1, (2, 3): 3, (2, 3, 4): 3, (2, 3, 4, 5): 3}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("single", [True, False])
def test_prelu_is_torchs(shape, single):
    count = 1 if single else SHAPES[shape]
    ours, theirs = actlib.PReLU(count, 0.3, dtype=torch.float64), nn.PReLU(count, 0.3, dtype=torch.float64)
    assert torch.equal(ours.weight, theirs.weight)
    theirs.weight.data += torch.rand(count).double()
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(shape, dtype=torch.float64)
    x[x.abs() < 0.3] = 0  # where the slope is the weight
    x.requires_grad_()
    results = []
    for layer in (ours, theirs):
        y = layer(x)
        results.append((y, *torch.autograd.grad(y, (x, layer.weight), torch.cos(y.detach()))))
    torch.testing.assert_close(*results)
    assert torch.autograd.gradcheck(actlib.prelu, (x.detach() + 0.1, ours.weight), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(actlib.prelu, (x.detach().requires_grad_() + 0.1, ours.weight))
    assert repr(ours) == repr(theirs)
    theirs.load_state_dict(ours.state_dict())


def test_prelu_is_kept_and_copied_and_begins_anew():
    made, x = actlib.PReLU(3), torch.randn(2, 3)
    for again in (copy.deepcopy(made), pickle.loads(pickle.dumps(made)), nn.Sequential(made)):
        assert torch.equal(again(x), made(x))
    made.weight.data.zero_()
    made.reset_parameters()
    assert made.weight.tolist() == [0.25] * 3
    torch.compiler.reset()
    torch.testing.assert_close(torch.compile(made, fullgraph=True)(x), made(x))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: actlib.PReLU(2.0), TypeError, "PReLU: num_parameters must be an int, but float came"),
        (lambda: actlib.PReLU(0), ValueError, "PReLU: num_parameters must be at least 1, but 0 came"),
        (lambda: actlib.PReLU(4)(torch.ones(2, 3)), ValueError, "1 number or 3, one a channel for .* (4,) came"),
        (lambda: actlib.PReLU(2)(torch.ones(2)), ValueError, "weight must have 1 number for an input of shape (2,)"),
        (lambda: actlib.prelu(torch.ones(2, 4), torch.ones(2, 2)), ValueError, "but one of shape (2, 2) came"),
        (lambda: actlib.prelu(torch.ones(2), 0.25), TypeError, "prelu: weight must be a tensor, but float came"),
        (lambda: actlib.prelu([1.0], torch.ones(1)), TypeError, "prelu: input must be a tensor, but list came"),
    ],
)  # fmt: skip
def test_what_prelu_cannot_take_is_refused_in_words(call, error, message):
    with pytest.raises(error, match=message.replace("(", r"\(").replace(")", r"\)")):
        call()
