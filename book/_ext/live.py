"""Figures of the chapters that answer to the reader: which they are, and what stands in their place in a browser.

Each gets an empty element, which `card.js` fills once the reader comes near. Where no script runs, in a notebook and on
paper, the figure stands as it was stored.
"""

import html
import json

from sphinx.errors import ExtensionError

from actlib import ACTIVATIONS

SEVEN = ("sigmoid", "tanh", "relu", "leaky_relu", "elu", "swish", "gelu")

COMPUTED = r"""
All of this is computed from the formula, and nothing is trained. The layers are infinitely wide, their weights random
with variance $g^2/n$, their biases 0. Inputs of variance 1 give the scores of the first layer the variance $q = g^2$.
Each layer turns $q$ into
$g^2 \operatorname{E}[f(\sqrt q\,Z)^2]$ and multiplies the mean square of the gradient by
$\chi = g^2 \operatorname{E}[f'(\sqrt q\,Z)^2]$, where $Z$ is standard normal. The plot shows the size of the signal,
$\sqrt q$, and the size of the gradient relative to that at the last layer.
""".strip()


def card(hint: str, *names: str, caption: str = "", home: tuple[float, float] = (-6, 6), plane: bool = False) -> dict:
    """In the place of a chapter's card: the plot of a function with its parameters.

    Args:
        hint: What to try.
        names: The functions of the registry to choose from.
        caption: What is said in place of what the stored figure's caption says; nothing if that stays true.
        home: The window at first.
        plane: Whether it is a function of gate and value, over the plane of which a point is dragged.
    """
    about = {"kind": "card", "hint": hint, "names": names, "home": home}
    return about | ({"caption": caption} if caption else {}) | ({"plane": plane} if plane else {})


def shares(hint: str, caption: str, scores: dict[str, float]) -> dict:
    """In the place of a card: scores to pull, what softmax makes of them, and a temperature."""
    scored = {"names": [*scores], "scores": [*scores.values()]}
    return {"kind": "shares", "hint": hint, "caption": caption, "home": (-6, 6), **scored}


def stack(hint: str, *names: str) -> dict:
    """Below a figure: signal and gradient in many layers, as the gain of the weights is turned."""
    caption = "Signal and gradient by hidden layer, in powers of ten, as functions, weights and depth are chosen."
    return {"kind": "stack", "hint": hint, "caption": caption, "names": names, "gain": 1, "computed": COMPUTED}


ELEMENTS = {
    "00_principles": {
        "prediction": stack(
            "Choose a function and turn the gain until the gradient is level. Is the signal level, too?",
            *SEVEN,
        ),
    },
    "01_sigmoid": {
        "the-card": card(
            "Move along the curve: how far from 0 has the slope lost nine tenths of its height?", "sigmoid"
        ),
        "its-gradients-vanish": stack(
            "Turn the gain up. How much do weights four times as large help, and when is the gradient level?",
            "sigmoid",
        ),
    },
    "02_tanh": {
        "the-card": card(
            "Choose the sigmoid and compare: how much taller is the slope of tanh, and how much narrower?",
            *("tanh", "sigmoid"),
        ),
    },
    "03_relu": {
        "the-card": card(
            "Choose softplus and turn beta up: the corner sharpens, and the slope turns into a step.",
            *("relu", "softplus"),
            caption="ReLU, its slope and its curvature, or those of softplus. All the curvature of ReLU is gathered in "
            "one point.",
        ),
    },
    "04_leaky_relu": {
        "the-card": card(
            "Turn the negative slope down to 0, which is ReLU, and below it. When is the function no longer monotone?",
            "leaky_relu",
            caption="Leaky ReLU, its slope and its curvature. Both sides of 0 are straight; at 0 the slope jumps.",
        ),
    },
    "05_elu": {
        "the-card": card(
            "Turn alpha away from 1, and the slope jumps at 0: up if alpha is smaller, down if it is larger.",
            "elu",
            caption="ELU, its slope and its curvature. Only with α = 1 does the slope pass 0 without a break.",
        ),
    },
    "06_swish": {
        "the-card": card(
            "Turn the dial: near 0 the curve is almost a line, far up almost ReLU. What becomes of the dip?",
            "swish",
            caption="Swish, its slope and its curvature.",
        ),
    },
    "07_softmax": {
        "the-card": shares(
            "Pull one score: the other two shares keep their proportion. Then turn the temperature up, and down.",
            "Softmax of three scores, divided by a temperature. Below, the shares as the first score changes, and the "
            "slope of the first.",
            {"cat": 3, "dog": 2, "bird": 0},
        ),
    },
    "08_gelu": {
        "the-card": card(
            "Choose an approximation: the values barely move, but the second derivative gives it away.",
            *("gelu", "gelu_tanh", "gelu_sigmoid"),
            caption="GELU or an approximation, its slope and its curvature. The slope of GELU is extreme at ±√2 and "
            "exceeds 1.",
        ),
    },
    "09_swiglu": {
        "the-card": card(
            "Drag the point across gate and value. Then choose another unit: whose gate closes completely?",
            *("swiglu", "geglu", "reglu", "glu", "bilinear"),
            caption="A gated unit over gate and value, blue above zero and orange below, with steps at ±0.2, ±0.5, ±1, "
            "±2, ±4, ±8. Below, the cut at the chosen value, with slope and curvature in the gate.",
            home=(-6, 4),
            plane=True,
        ),
    },
}
"""By chapter and section, at the first figure of which it stands."""


def placed(body: str, section: str, about: dict) -> str:
    """The page with the element in its place: within the figure, or, if it does not replace it, behind it."""
    start = body.find(f'<section id="{section}">')
    opened = body.find('<figure class="act-figure"', start)
    if min(start, opened) < 0:
        raise ExtensionError(f"no figure in a section {section!r}, in which one shall answer to the reader")
    end = ">" if "home" in about else "</figure>"
    at = body.index(end, opened) + len(end)
    data = html.escape(json.dumps(about, ensure_ascii=False))
    return f'{body[:at]}<div class="act-live" data-live="{data}"></div>{body[at:]}'


def place(app, pagename, templatename, context, doctree) -> None:  # noqa: ARG001
    """Put the elements of a page into its body."""
    for section, about in ELEMENTS.get(pagename.rpartition("/")[2], {}).items():
        context["body"] = placed(context["body"], section, about)


def check(app) -> None:  # noqa: ARG001
    """Every function is in the registry."""
    drawn = [about["names"] for page in ELEMENTS.values() for about in page.values() if about["kind"] != "shares"]
    if strange := {name for names in drawn for name in names} - set(ACTIVATIONS):
        raise ExtensionError(f"no such function in the registry: {', '.join(sorted(strange))}")


def setup(app):
    """Register it, after figures have their numbers."""
    app.connect("builder-inited", check)
    app.connect("html-page-context", place, priority=450)
    return {"parallel_read_safe": True}
