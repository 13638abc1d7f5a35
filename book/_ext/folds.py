"""Folded code says what it is: each cell tagged `hide-input` gets a label, and the page one switch for all of them.

The label comes from the cell's metadata (`"label": "How the surface was sampled"`), or else from what the cell does:
whether it measures, as the calls in it tell, and what it shows.
"""

import ast
import html
import json
from collections.abc import Iterable, Mapping, Sequence

from myst_nb.sphinx_ import HideCodeCellNode
from prose import is_notebook

MEASURING = ("actlib.book.training", "actlib.book.measurements", "actlib.book.costs")
"""Modules whose functions measure, or read what was measured."""

METHODS = {"backward", "test", "train", "tune"}
"""Methods that measure: of a tensor, of a claim, of a task."""


class Reader:
    """Tells, from one code cell of a notebook after the other, what each does."""

    def __init__(self):
        self._names: set[str] = set()  # that stand for something that measures

    def measures(self, source: str) -> bool:
        """Whether the cell measures, as against drawing, listing, defining; later cells may call what it defines."""
        measured = False
        for statement in ast.parse(source).body:
            if isinstance(statement, ast.Import | ast.ImportFrom):
                self._names |= set(_imported(statement))
            elif isinstance(statement, ast.FunctionDef | ast.ClassDef):
                if self._calls(statement):
                    self._names.add(statement.name)
            else:
                measured |= self._calls(statement)
        return measured

    def label(self, cell: Mapping) -> str:
        """What the fold of a cell is called."""
        source = "".join(cell["source"])
        measured = self.measures(source)
        if label := cell["metadata"].get("label"):
            return label
        statements = ast.parse(source).body
        if all(map(_claims, statements)):
            return "The claims in full"
        if not cell["outputs"] and isinstance(statements[0], ast.Import | ast.ImportFrom):
            return "Imports and symbols"
        last = statements[-1]
        shown = "".join(_html(cell["outputs"]))
        if "<figure" in shown:
            return "How this was measured and drawn" if measured else "Code of this figure"
        if measured:
            return "How this was measured" if cell["outputs"] else "How this is measured"
        if "<table" in shown:
            return "Code of this table"
        if cell["outputs"]:
            return "Code of what follows"
        if isinstance(last, ast.Assert):
            return "How this is checked"
        defined = any(isinstance(node, ast.FunctionDef) and self._calls(node) for node in statements)
        return "How this is measured" if defined else "Bookkeeping"

    def _calls(self, node: ast.AST) -> bool:
        called = (call.func for call in ast.walk(node) if isinstance(call, ast.Call))
        return any(self._names & {_root(f)} or (isinstance(f, ast.Attribute) and f.attr in METHODS) for f in called)


def _claims(statement: ast.stmt) -> bool:
    """Whether it states a claim, with its margin and conditions."""
    match statement:
        case ast.Assign(value=ast.Call(func=ast.Attribute(attr="Claim"))):
            return True
    return False


def _imported(statement: ast.Import | ast.ImportFrom) -> Iterable[str]:
    for one in statement.names:
        whole = f"{statement.module}.{one.name}" if isinstance(statement, ast.ImportFrom) else one.name
        if whole.startswith(MEASURING):
            yield one.asname or one.name


def _root(function: ast.AST) -> str:
    """The name with which an expression like `training.digits` begins."""
    while isinstance(function, ast.Attribute):
        function = function.value
    return function.id if isinstance(function, ast.Name) else ""


def _html(outputs: Sequence[Mapping]) -> Iterable[str]:
    for output in outputs:
        yield from output.get("data", {}).get("text/html", "")


def read(app, docname, source) -> None:
    """Put the labels where myst_nb looks for what stands on a fold."""
    if not is_notebook(app.env, docname):
        return
    notebook, reader = json.loads(source[0]), Reader()
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            if "hide-input" in cell["metadata"].get("tags", []):
                cell["metadata"]["mystnb"] = {"code_prompt_show": reader.label(cell)}
            else:
                reader.measures("".join(cell["source"]))
    source[0] = json.dumps(notebook)


def enter(translator, node) -> None:
    """A fold with one label, which is also what a screen reader says."""
    label = html.escape(node["prompt_show"])
    translator.body.append(f'<details class="hide above-input"><summary>{label}</summary>\n')


def leave(translator, node) -> None:  # noqa: ARG001
    """Its end."""
    translator.body.append("</details>\n")


def offer(app, pagename, templatename, context, doctree) -> None:  # noqa: ARG001
    """Put the switch beside the page's other buttons."""
    if '<details class="hide ' in context.get("body", ""):
        switch = {"type": "javascript", "javascript": "switchCode()", "text": "", "icon": "fas fa-code"}
        context["header_buttons"].append({**switch, "tooltip": "Show all code", "label": "code-button"})


def setup(app):
    """Register the labels, the fold and the switch, behind the theme's buttons."""
    app.connect("source-read", read)
    app.add_node(HideCodeCellNode, override=True, html=(enter, leave))
    app.connect("html-page-context", offer, priority=503)
    return {"parallel_read_safe": True, "version": "1"}
