"""How notebooks show what SymPy has no say in: tuples, lists and dictionaries of formulas, typeset as formulas are."""

import sys
from collections.abc import Mapping

import sympy as sp
from sympy.printing.latex import LatexPrinter

CONTAINERS = (tuple, list, dict)


class _Printer(LatexPrinter):
    """SymPy's own, but a word is no product of letters and no code."""

    def _print_str(self, text: str) -> str:
        return rf"\text{{{text}}}"


def latex(container: tuple | list | Mapping) -> str | None:
    """The LaTeX of a tuple, list or dictionary, however nested, of formulas and results of `formula.analysis`.

    Numbers and words may stand among them. None for anything else: it is no mathematics, and its plain text reads well.
    """
    leaves = list(_leaves(container))
    if not any(map(_is_mathematics, leaves)):
        return None
    if not all(_is_mathematics(leaf) or leaf is None or type(leaf) in (bool, int, float, str) for leaf in leaves):
        return None
    return rf"$\displaystyle {_Printer().doprint(container)}$"


def register() -> None:
    """Tell IPython, where it runs, to show containers so."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None:
        for container in CONTAINERS:
            shell.display_formatter.formatters["text/latex"].for_type(container, latex)


def _leaves(value: object):
    if type(value) not in CONTAINERS:  # torch.Size and named tuples have names of their own
        yield value
        return
    for item in [*value, *value.values()] if isinstance(value, dict) else value:
        yield from _leaves(item)


def _is_mathematics(value: object) -> bool:
    return isinstance(value, (sp.Basic, sp.MatrixBase)) or hasattr(value, "_latex")
