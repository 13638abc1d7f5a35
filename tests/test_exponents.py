"""Products in which one exponential grows while another decays are right where float64 can be."""

import pytest
import sympy as sp
import torch
from random_products import POINTS, products, wrong_ones, x
from sympy import Rational

from actlib.backends import torch_runner
from actlib.elementwise import Elementwise
from actlib.formula.primitives import Phi, asinh, cosatan, cosh, expm1, phi, sigma, sinh, softplus, tanh
from actlib.formula.source import needs_double, torch_source

y = sp.Symbol("y", real=True)

PRODUCTS = [
    sinh(x) * sigma(-x),
    (sp.exp(x) - 1) / (1 + sp.exp(x)),
    x * cosh(x) * sigma(-x),
    sp.exp(x**2 / 4) * phi(x),
    sp.exp(-1.5 * x) * sigma(x),
    sp.exp(Rational(-3, 2) * x) * sigma(x),
    x**3 / cosh(x),
    x / sinh(x),
    x / expm1(x),
    x * sp.exp(x) / (sp.exp(2 * x) + 1),
    (sp.exp(x) + 2) * sigma(-x),
    (sinh(x) + x) * sigma(-2 * x),
    (cosh(x) + x) * phi(x),
    sp.exp(-x / 2) * Phi(2 * x),
    cosh(x / 2) * softplus(-2 * x),
    sp.exp(-x) * phi(x),
    sp.sqrt(cosh(x)) * sigma(-x),
    sigma(-2 * x) / sigma(-x),
    sp.exp(x) * cosatan(x),
    sp.exp(x) / asinh(2 * x),
    cosh(x) * sp.exp(-(x**2)),
    sinh(x) * cosh(x) * sigma(-x) ** 2,
    tanh(x) * softplus(x**2 / 4) * sigma(x) * sigma(-x),
    softplus(x) / cosh(x),
    2**x / (1 + 2**x),
    x * 3**x / (1 + 3**x),
    sp.log(1 + 2**x),
    1 / (1 + 2**-x),
    10**x / (2 + 10**x),
    x * 2**x / (2**x + 3),
    sp.exp(x + 1) / (1 + sp.exp(x + 2)),
    sp.exp(x) * sigma(1 - x),
    x * sp.exp(x - 3) / (2 + sp.exp(x + 1)),
    sinh(x) / cosh(x + 1),
    (1 - tanh(x)) * sp.exp(2 * x),
    x * (1 - sigma(x)),
    sp.exp(x) * (1 - Phi(x)),
]
"""Some were found by hand, more by `random_products`."""

every_product = pytest.mark.parametrize("product", PRODUCTS, ids=str)


@every_product
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_value_and_slope(product, dtype):
    assert wrong_ones(product, dtype) == {"value": [], "slope": []}


@pytest.mark.parametrize("product", [sp.Abs(sinh(x)) * sigma(-x), sp.Max(sinh(x), x) * sigma(-x)], ids=str)
def test_value_of_sizes_and_cases(product):
    assert wrong_ones(product)["value"] == []


@every_product
def test_value_and_slope_by_the_kernel(product, by_kernel):
    assert wrong_ones(product, torch.float32, by_kernel) == {"value": [], "slope": []}


@pytest.mark.parametrize("product", products(12, seed=7), ids=str)
def test_random_products(product):
    found = wrong_ones(product)
    assert found["value"] == []
    assert product.has(softplus) or found["slope"] == []  # of a logarithm beside a fraction, terms may cancel


def test_of_two_variables():
    op = Elementwise("product", [x, y], sp.exp(y) * sigma(x))
    at = torch.tensor([-110.0, -200.0, -2000.0]), torch.tensor([100.0, 199.0, 2001.0])
    torch.testing.assert_close(op(*at), torch.exp(sum(at)))


@pytest.mark.parametrize("end", [-torch.inf, torch.inf])
@pytest.mark.parametrize("product", [sinh(x) * sigma(-x), sp.exp(-x) * phi(x), x**3 / cosh(x)], ids=str)
def test_limits_at_infinity(product, end):
    limit = float(sp.limit(product.rewrite(sp.exp), x, sp.oo if end > 0 else -sp.oo))
    assert Elementwise("product", [x], product)(torch.tensor([end])).item() == limit


@every_product
def test_nan_stays_one(product):
    op, nan = Elementwise("product", [x], product), torch.tensor([torch.nan])
    assert op(nan).isnan()
    assert op.backward(torch.ones(1), nan).isnan()


@pytest.mark.filterwarnings("ignore:.*torch.jit.* is deprecated")
@pytest.mark.parametrize("product", PRODUCTS[:8], ids=str)
def test_in_a_recorded_graph(product):
    op, points = Elementwise("product", [x], product), torch.tensor(POINTS, dtype=torch.float64)
    assert torch.equal(torch.jit.trace(op, (points,))(points).isnan(), op(points).isnan())


@pytest.mark.parametrize(
    ("formula", "line"),
    [
        (sp.exp(x**2 / 4) * phi(x), "return 0.3989422804014327*exp(-0.25*square(x))"),
        (sp.exp(-2 * x) * sigma(x), "return exp(where(x > 0, -2*x, -x))*sigma(absolute(x))"),
        (x * sp.exp(x) / (sp.exp(2 * x) + 1), "return damped(x, exp(where(x > 0, -x, x))*sigma(2*absolute(x)))"),
    ],
    ids=str,
)
def test_exponents_are_added_on_the_formula(formula, line):
    assert torch_source("f", [x], [formula]).splitlines()[-1].strip() == line
    assert needs_double([formula])


def test_where_a_case_rules_out_the_growth_nothing_changes():
    cases = sp.Piecewise((x * sp.exp(x) / (sp.exp(x) + 2), x < 0), (x * sp.exp(-x) / (sp.exp(-x) + 2), True))
    assert not needs_double([cases])
    assert "absolute" not in torch_source("f", [x], [cases])


def test_what_grows_as_a_power_beside_a_decay_is_damped():
    f = torch_runner.load("f", torch_source("f", [x], [softplus(x**2) * phi(x)]))
    assert f(torch.tensor([1e20, torch.inf])).tolist() == [0, 0]
