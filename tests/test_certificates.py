"""Proofs of where a formula is 0: enclosures, tails, covers; and that a fault in any of them is found."""

import dataclasses
import gc
import subprocess
import sys
import time
import weakref
from pathlib import Path

import mpmath
import pytest
import random_formulas
import sympy as sp
from mpmath import mp, mpf
from sympy import Abs, Float, Integer, Interval, Max, Ne, Piecewise, Rational, Symbol, cos, exp, oo, pi, sin, sqrt

from actlib import ACTIVATIONS
from actlib.formula import analysis
from actlib.formula.analysis import deadline, expansions, numbers, tails
from actlib.formula.analysis.constants import UndecidedSignError, sign
from actlib.formula.analysis.enclosures import Enclosure
from actlib.formula.analysis.formulas import compiled, enclosure
from actlib.formula.parser import parse
from actlib.formula.primitives import Phi, derivative, elementary, expm1, phi, sigma, softplus, tanh

x = Symbol("x", real=True)
a = Symbol("a", positive=True)
ONE_INPUT = {
    name: act.default_formula
    for name, act in ACTIVATIONS.items()
    if act.op is not None and act.default_formula.free_symbols == {act.inputs[0]}
}

# Enclosures

PARTS = {
    "sigma": sigma(x),
    "softplus": softplus(x),
    "Phi": Phi(x),
    "phi": phi(x),
    "tanh": tanh(x),
    "expm1": expm1(x),
    "exp": exp(-(x**2)),
    "log": sp.log(1 + x**2),
    "sine": sin(3 * x),
    "cosine": cos(x / 2),
    "root": sqrt(1 + x**2),
    "cube": x**3 - 2 * x,
    "quotient": x / (1 + Abs(x)),
    "erfc": sp.erfc(x),
    "arctangent": sp.atan(x),
    "cases": Piecewise((x**2, x > 1), (sin(x), True)),
    "sech": sp.sech(x),
}
BOXES = [(Rational(p, 8), Rational(p + w, 8)) for p in range(-60, 60, 7) for w in (0, 1, 5, 40)]


def escapes(backend, names=PARTS):
    """Values of parts of formulas that lie outside of their enclosures, of whole boxes and of single numbers."""
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numbers, "backend", backend)
        with backend.precision(60), mp.workprec(200):
            for name in names:
                formula = PARTS[name]
                value = sp.lambdify(x, elementary(formula), "mpmath")
                run = compiled(formula, (x,))
                for low, high in BOXES:
                    low_, high_ = (_mpf(end) for end in run(_box(low, high)).rationals())
                    for i in range(5):
                        at = low + (high - low) * Rational(i, 4)
                        if not low_ <= value(_mpf(at)) <= high_:
                            found.append((name, low, high, at))
    return found


def _mpf(number):
    return mpf(int(number.p)) / int(number.q)


def _box(low, high):
    return Enclosure(enclosure(low).low, enclosure(high).high)


@pytest.mark.parametrize("kind", numbers.BACKENDS)
def test_enclosures_hold_all_values(kind):
    assert escapes(kind()) == []


@pytest.mark.parametrize("kind", numbers.BACKENDS)
def test_rounding_inwards_is_caught(kind):
    class Inwards(kind):
        def lower(self, ball):
            return kind.upper(self, ball)

        def upper(self, ball):
            return kind.lower(self, ball)

    assert escapes(Inwards(), [name for name in PARTS if not PARTS[name].has(sin, cos)])


@pytest.mark.parametrize("kind", numbers.BACKENDS)
def test_infinite_ends_give_the_limits(kind, monkeypatch):
    monkeypatch.setattr(numbers, "backend", kind())
    half, whole = Enclosure(enclosure(Integer(1)).low, kind().infinity), Enclosure.line()
    assert compiled(sigma(x), (x,))(half).rationals()[1] == 1
    assert compiled(phi(x), (x,))(whole).rationals()[0] == 0
    assert compiled(1 / (1 + exp(x)), (x,))(whole).rationals() == (0, 1)
    assert compiled(Max(x, 0), (x,))(whole).sign() is None
    assert compiled(1 + x**2 * softplus(x), (x,))(whole).sign() == 1


def test_a_decimal_number_stands_for_its_certain_digits():
    near = sp.N(sqrt(2), 60)
    with pytest.raises(UndecidedSignError):
        sign(near - sqrt(2))
    assert sign(near - sqrt(2) + Rational(1, 10**50)) == 1


# Tails


TAILS = {
    "silu": (x * sigma(x), -oo, -1, x * exp(x)),
    "gelu": (derivative(x * Phi(x), x), -oo, -1, x * exp(-(x**2) / 2) / sqrt(2 * pi)),
    "root": (x / sqrt(1 + x**2) - 1, oo, -1, -1 / (2 * x**2)),
    "logarithm": (sp.log(1 + x**2) - x, oo, -1, -x),
    "far": (tanh(x - 5000) + 1, -oo, 1, 2 * exp(-10000) * exp(2 * x)),
    "arctangent": (sp.atan(x) - pi / 2, oo, -1, -1 / x),
}


@pytest.mark.parametrize(("formula", "end", "side", "leading"), TAILS.values(), ids=TAILS)
def test_tail_is_closed_and_its_leading_term_is_exact(formula, end, side, leading):
    tail = tails.closed(formula, x, end)
    assert tail.sign == side
    assert analysis.equal(tail.leading, leading)
    direction = 1 if end == oo else -1
    for k in range(12):
        assert sign(formula.subs(x, tail.start + direction * Integer(2) ** k)) == side


def test_tail_begins_where_the_term_outweighs_the_others():
    """x^2 - 100 x has a zero at 100: no tail that holds it is closed."""
    assert tails.closed(x**2 - 100 * x, x, oo).start >= 100


def test_tail_whose_remainder_is_forgotten_is_caught(monkeypatch):
    monkeypatch.setattr(expansions.Workshop, "bound", lambda *_: enclosure(Integer(0)))
    assert tails.closed.__wrapped__(x**2 - 100 * x, x, oo).start < 100


@pytest.mark.parametrize("formula", [sin(x), sin(x) / x, x * cos(x), cos(x) * exp(-x) + exp(-2 * x)], ids=str)
def test_infinitely_many_zeros_are_proved(formula):
    with pytest.raises(analysis.InfinitelyManyError, match="infinitely many"):
        tails.closed(formula, x, oo)


# Certificates


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("name", ONE_INPUT)
def test_certificates_of_the_registry_pass_their_check(name, order):
    formula = ONE_INPUT[name]
    (variable,) = formula.free_symbols
    assert analysis.certificate(formula.subs(variable, x), x, order).check() == []


FAULTY = (x - 5) * sigma(x) + exp(-((x + 3) ** 2)) * sin(x) / 4


def with_parts(change):
    whole = analysis.certificate(FAULTY, x)
    assert whole.check() == []
    covers = [dataclasses.replace(c, parts=tuple(change(list(c.parts)))) for c in whole.covers]
    return dataclasses.replace(whole, covers=tuple(covers)).check()


def test_a_lost_zero_is_caught():
    assert with_parts(lambda parts: [p for p in parts if p.how != "zero"])
    as_if = lambda p: dataclasses.replace(p, how="monotone", sign=1, zero=None) if p.how == "zero" else p
    assert with_parts(lambda parts: list(map(as_if, parts)))


def test_a_tail_that_is_not_closed_is_caught():
    assert with_parts(lambda parts: parts[1:])
    assert with_parts(lambda parts: parts[:-1])
    assert with_parts(lambda parts: [*parts[:-1], dataclasses.replace(parts[-1], sign=-parts[-1].sign)])


def test_an_interval_of_the_wrong_sign_is_caught():
    turned = lambda p: dataclasses.replace(p, sign=-p.sign) if p.how == "values" else p
    assert with_parts(lambda parts: list(map(turned, parts)))


def test_a_certificate_is_shown_as_a_table():
    shown = analysis.certificate(x * sigma(x), x)
    assert "alone" in str(shown)
    assert "outweighs" in str(shown)
    assert shown._repr_latex_().count(r"\\") == len(shown.rows()) - 1


# Zeros


def test_zeros_are_exact_or_certain():
    assert analysis.zeros(x * (x - 5000) * exp(x), x) == [0, 5000]
    (only,) = analysis.zeros(x * sp.exp(x) - 2 - sin(x), x)
    with mp.workdps(80):
        root = mpmath.findroot(lambda t: t * mp.exp(t) - 2 - mp.sin(t), 1)
        assert abs(only - Float(root, 75)) < Float(10) ** -59
    assert analysis.zeros(sin(2 * x), x) == [pi * Symbol("n", integer=True), pi * Symbol("n", integer=True) + pi / 2]
    assert analysis.zeros(Max(x, 0), x) == [Interval.open(-oo, 0), 0]


def test_a_zero_that_may_be_double_is_refused():
    """The lowest value is about 1e-80: no closed form, and no interval that isolates."""
    close = (exp(x) - x - 2) ** 2 + Rational(1, 10**80)
    assert analysis.zeros(close, x) == []
    touching = exp(2 * x) - 2 * x * exp(x) - 4 * exp(x) + x**2 + 4 * x + 4  # the square, multiplied out
    assert len(analysis.zeros(touching, x)) == 2


# What a grid of samples got wrong


def test_waves_are_known_in_every_period():
    n = Symbol("n", integer=True)
    assert analysis.value_range(Abs(sin(x)), x) == Interval(0, 1)
    assert [e.x for e in analysis.extrema(Abs(sin(x)), x)] == [pi * n, pi * n + pi / 2]
    fast = x + sin(1000 * x) / 100
    assert analysis.largest_slope(fast, x).value == 11
    assert len(analysis.extrema(fast, x)) == 2
    assert {rises for _, rises in analysis.monotone_intervals(fast, x)} == {1, -1}
    assert analysis.monotone_intervals(x + sin(x), x) == [(Interval(-oo, oo), 1)]


def test_what_is_far_or_narrow_is_found():
    constant = analysis.lipschitz((x - 2000) ** 2 * exp(-(x**2) / 10**8), x)
    assert abs(constant.value - Float("7858.41", 10)) < Float("0.01")
    bump = x + exp(-(10**6) * (x - 300) ** 2)
    assert [e.kind for e in analysis.extrema(bump, x)] == ["maximum", "minimum"]
    steps = sp.tanh(x - 5000) + sp.tanh(x + 1) + 2
    assert analysis.monotone_intervals(steps, x) == [(Interval(-oo, oo), 1)]
    assert analysis.value_range(steps, x) == Interval.open(0, 4)


def test_sinc_with_its_value_at_0():
    sinc = Piecewise((sin(x) / x, Ne(x, 0)), (1, True))
    assert analysis.limits(sinc, x) == (0, 0)
    assert analysis.smoothness(sinc, x) == oo
    found = analysis.value_range(sinc, x)
    assert found.sup == 1
    assert abs(found.inf + Float("0.2172336282112216574", 20)) < Float(10) ** -18
    with pytest.raises(analysis.InfinitelyManyError):
        analysis.extrema(sinc, x)


def test_equal_formulas_may_meet_in_a_jump():
    formula = Piecewise((sp.atan(1 / x), Ne(x, 0)), (-pi / 2, True))
    assert analysis.smoothness(formula, x) == -1


# Parameters


def test_enclosures_over_all_values_of_a_parameter():
    assert analysis.monotone_intervals(x + a * tanh(x), x) == [(Interval(-oo, oo), 1)]
    assert sign(exp(-a) + 1 - a / (1 + a)) == 1
    with pytest.raises(UndecidedSignError, match="depends on a; substitute a number"):
        sign(1 - a)
    with pytest.raises(ValueError, match="substitute a number"):
        sign(sp.Pow(a - 1000, 2) - Rational(1, 10**6))  # positive at every trial value, and not for all


# How it is known


def test_known_says_exact_certified_or_refused():
    card = analysis.summary(x * Phi(x), x)
    assert analysis.known(card.limits) == analysis.known(card.inflections) == "exact"
    assert analysis.known(card.extrema) == analysis.known(card.value_range) == "certified"
    assert analysis.known(analysis.summary(x * sin(x), x).extrema) == "refused"


@pytest.mark.parametrize("name", ONE_INPUT)
def test_nothing_of_the_registry_is_refused(name):
    formula = ONE_INPUT[name]
    (variable,) = formula.free_symbols
    told = random_formulas.questions(analysis.summary(formula.subs(variable, x), x))
    assert set(told.values()) <= {"exact", "certified"}


@pytest.mark.parametrize(
    ("left", "right", "holds", "way"),
    [
        (sigma(x), sigma(x), True, "same formula"),
        (sigma(-x), 1 - sigma(x), True, "rational function"),
        (softplus(x) - softplus(-x), x, True, "derivative 0"),
        (Max(x, 0), (x + Abs(x)) / 2, True, "each of 2 cases"),
        (sigma(x), tanh(x), False, "they differ at x ="),
        (sp.gamma(x), sp.factorial(x), None, "no proof"),
    ],
    ids=str,
)
def test_equality_says_by_which_way(left, right, holds, way):
    found = analysis.equality_of(left, right)
    assert found.holds is holds
    assert way in found.how


# Time


def test_a_question_ends_whatever_it_is_about(monkeypatch):
    monkeypatch.setattr(deadline, "SECONDS", 0.2)

    @deadline.timed
    def endless():
        while True:
            try:
                time.sleep(0.01)
            except BaseException as error:  # as some library might: the alarm insists
                caught.append(error)
                if len(caught) > 2:
                    raise

    caught = []
    with pytest.raises(analysis.NotDecidedError, match=r"not decided within 0\.2 s"):
        endless()
    time.sleep(0.5)  # nothing goes off afterwards
    with deadline.limit(100), pytest.raises(analysis.NotDecidedError), deadline.limit(0.1):
        endless.__wrapped__()


def test_without_flint_mpmath_serves():
    folder = str(Path(analysis.__file__).parents[2])
    (expected,) = analysis.extrema(x * Phi(x), x)
    code = (
        "import sys, types; sys.modules.update(dict.fromkeys(('flint', 'torch', 'numpy')))\n"
        f"package = sys.modules['actlib'] = types.ModuleType('actlib'); package.__path__ = [{folder!r}]\n"
        "import sympy; from actlib.formula import analysis; from actlib.formula.primitives import Phi\n"
        "from actlib.formula.analysis import numbers; assert [k.__name__ for k in numbers.BACKENDS] == ['Mpmath']\n"
        "x = sympy.Symbol('x', real=True); (lowest,) = analysis.extrema(x * Phi(x), x)\n"
        f"assert str(lowest.value) == {str(expected.value)!r}, lowest.value\n"
        "assert analysis.certificate(x * Phi(x), x).check() == []"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# Formulas that nobody chose


@pytest.mark.parametrize("typed", random_formulas.formulas(40))
def test_samples_do_not_contradict_what_is_said_of_a_random_formula(typed):
    try:
        card = analysis.summary(parse(typed), random_formulas.x)
    except analysis.RefusedError:
        return
    assert random_formulas.contradictions(card.expr, card) == []


def test_samples_contradict_a_wrong_card():
    card = analysis.summary(x * sigma(x), x)
    wrong = dataclasses.replace(card, value_range=Interval(0, oo))
    assert random_formulas.contradictions(card.expr, wrong)
    wrong = dataclasses.replace(card, monotone_intervals=[(Interval(-oo, oo), 1)])
    assert random_formulas.contradictions(card.expr, wrong)
    wrong = dataclasses.replace(card, lipschitz=dataclasses.replace(card.lipschitz, value=Integer(1)))
    assert random_formulas.contradictions(card.expr, wrong)


class Dropped:
    """An object whose end never ends by itself."""

    def __init__(self, end):
        self.end = end

    def __del__(self):
        self.end()


def when_garbage_is_collected(end):
    def callback(phase, info):  # noqa: ARG001
        gc.callbacks.remove(callback)
        end()

    gc.callbacks.append(callback)
    gc.collect()


def when_an_object_dies(end):
    Dropped(end)


def when_a_weak_reference_dies(end):
    target = type("Target", (), {})()
    reference = weakref.ref(target, lambda _: end())
    del target
    assert reference() is None


@pytest.mark.parametrize("drops", [when_garbage_is_collected, when_an_object_dies, when_a_weak_reference_dies])
def test_a_time_limit_insists_where_python_drops_what_is_raised(drops):
    """Nothing is printed of it, which would make this test fail."""
    raised = []

    def endless():
        try:
            while True:
                time.sleep(0.001)
        except BaseException as error:
            raised.append(error)
            raise

    def dropped_first():
        drops(endless)
        endless()

    with pytest.raises(analysis.NotDecidedError), deadline.limit(0.1):
        dropped_first()
    assert raised


def test_what_others_drop_is_still_told(monkeypatch):
    told = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)

    def endless():
        while True:
            time.sleep(0.001)

    with pytest.raises(analysis.NotDecidedError), deadline.limit(0.05):
        endless()
    when_an_object_dies(lambda: 1 / 0)
    assert [unraisable.exc_type for unraisable in told] == [ZeroDivisionError]
