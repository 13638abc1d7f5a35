"""What the explorer page loads, made when the book is built: code from formulas, and libraries at pinned versions.

Besides, two scripts for the chapters: `curves.js` moves the curves of `figures.Movable`, and `cards.js` makes what
`live.py` has put there.

- `functions.js`: every function of the registry with its first two derivatives, printed by `formula/source.py`.
- `python.zip`: SymPy, mpmath and `actlib/formula` as they are installed here, for Pyodide.
- `page.js`: all scripts of the page in one. Modules would not do: a browser loads none from a page opened as a file.
- uPlot, which draws, and Pyodide, which is Python in the browser. `book/_web` pins them.
"""

import json
import pathlib
import re
import shutil
import zipfile

import mpmath
import npm
import sympy
from sphinx.util import logging

import actlib
from actlib import ACTIVATIONS
from actlib.activations.activation import Activation
from actlib.formula.primitives import derivative
from actlib.formula.source import FUNCTIONS, javascript_source

HERE = pathlib.Path(__file__).parent
WEB = HERE.parent / "_web"
LIBRARIES = {
    "uplot": ("dist/uPlot.iife.min.js", "dist/uPlot.min.css"),
    "pyodide": ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "pyodide-lock.json", "python_stdlib.zip"),
}
"""Which files of each library the page needs."""

MODULES = ("primitives", "functions", "evaluate", "dom", "plot", "own", "explorer")
"""The scripts of the page, each after those that it imports."""

MOVABLE = ("primitives", "evaluate", "dom", "movable")
"""Those of a page with a curve to move."""

LIVE = ("primitives", "functions", "dom", "plot", "plane", "stack", "card")
"""Those of a chapter with figures that answer to the reader."""

RANGES = {
    "alpha": (0.05, 3),
    "beta": (0.05, 5),
    "limit": (0.5, 10),
    "negative_slope": (-0.5, 1),
    "threshold": (0, 20),
    "value": (-3, 3),
    "x2": (-5, 5),
    "x3": (-5, 5),
}
"""How far the slider of a parameter, or of a further input, goes."""

UNUSED = (
    *("categories", "crypto", "diffgeom", "holonomic", "liealgebras", "sandbox", "stats", "testing"),
    *("physics/biomechanics", "physics/continuum_mechanics", "physics/control", "physics/hep", "physics/mechanics"),
    *("physics/optics", "physics/quantum", "physics/vector"),
)
"""Parts of SymPy that nothing here imports, besides all that is called tests or benchmarks."""


def entry(activation: Activation) -> tuple[str, dict]:
    """The JavaScript of a function and its derivatives, and what the page says of it."""
    x, *others = activation.inputs
    parameters = () if activation.op is None else activation.op.parameters
    formula = activation.formula
    derivatives = [formula, derivative(formula, x), derivative(formula, x, x)]
    source = javascript_source(activation.name, (x, *others, *parameters), derivatives)
    sliders = []
    for symbol in (*others, *parameters):
        value = activation.defaults.get(symbol.name, 1 if symbol.name == "value" else 0)
        low, high = RANGES.get(symbol.name, (value - 2, value + 2))
        sliders.append({"name": symbol.name, "value": value, "low": low, "high": high})
    names = {s: upright(s) for s in formula.free_symbols}
    space = r"\," if any(name.startswith(r"\mathrm") for name in names.values()) else None
    about = {
        "name": activation.name,
        "input": x.name,
        "latex": sympy.latex(formula, symbol_names=names, mul_symbol=space),
        "chapter": activation.chapter,
        "parameters": sliders,
    }
    return source, about


def upright(symbol: sympy.Symbol) -> str:
    """LaTeX of a symbol: a word is no product of its letters."""
    word = re.fullmatch("[a-z]{2,}(_[a-z]+)*", symbol.name) and not sympy.latex(symbol).startswith("\\")
    return rf"\mathrm{{{symbol.name}}}".replace("_", r"\_") if word else sympy.latex(symbol)


def functions_module(bytes_to_load: dict[str, int]) -> str:
    """The text of `functions.js`; it also says how much there is to load for formulas of one's own."""
    sources, entries = [], []
    for activation in ACTIVATIONS.values():
        source, about = entry(activation)
        sources.append(source)
        called = source.split("(")[0].removeprefix("function ")
        entries.append(f"    {{...{json.dumps(about)}, derivatives: {called}}},\n")
    return "\n".join(
        [
            "// Generated from actlib's formulas: value, slope and second derivative in the first input.",
            f'import {{ {", ".join(FUNCTIONS)} }} from "./primitives.js";\n',
            *sources,
            f"export const ACTIVATIONS = [\n{''.join(entries)}];\n",
            f"export const BYTES = {json.dumps(bytes_to_load)};\n",
        ]
    )


def bundle(folder: pathlib.Path, names: tuple[str, ...]) -> str:
    """One classic script made of the modules: each becomes a function that returns what the module exports.

    Indentation and lines of comment are a quarter of what is written, and are left behind.
    """
    parts = []
    for module in names:
        text = (folder / f"{module}.js").read_text(encoding="utf-8")
        text = re.sub(
            r'^import (?:\* as )?(.+) from "\./(\w+)\.js";$', r"const \1 = modules.\2;", text, flags=re.MULTILINE
        )
        several = re.findall(r"^export const \{(.+)\} = ", text, re.MULTILINE)
        exported = [name.split(":")[-1].strip() for group in several for name in group.split(",")]
        exported += re.findall(r"^export (?:function|class|const) (\w+)", text, re.MULTILINE)
        text = re.sub(r"^export |^ *//.*\n|^ +", "", text, flags=re.MULTILINE)
        parts.append(f"modules.{module} = (() => {{\n{text}\nreturn {{ {', '.join(exported)} }};\n}})();\n")
    return '"use strict";\n{\nconst modules = {};\n' + "\n".join(parts) + "}\n"


def python_archive(path: pathlib.Path) -> None:
    """SymPy, mpmath and the formulas of actlib as Pyodide imports them; actlib without what needs torch."""
    unused = tuple(f"sympy/{part}/" for part in UNUSED)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:

        def add(name: str, text: bytes) -> None:
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), text, zipfile.ZIP_DEFLATED)

        for package in (sympy, mpmath):
            root = pathlib.Path(package.__file__).parent
            for file in sorted(root.rglob("*.py")):
                name = str(file.relative_to(root.parent).as_posix())
                if not name.startswith(unused) and not {"tests", "benchmarks"} & set(name.split("/")):
                    add(name, file.read_bytes())
        add("actlib/__init__.py", b"")
        root = pathlib.Path(actlib.__file__).parent
        for file in sorted((root / "formula").rglob("*.py")):
            add(f"actlib/{file.relative_to(root).as_posix()}", file.read_bytes())


def write(app, error) -> None:
    """Put everything beside the page's own scripts."""
    if error or app.builder.format != "html":
        return
    target = pathlib.Path(app.outdir, "_static", "explorer")
    target.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(pathlib.Path(actlib.__file__).parent / "backends" / "primitives.js", target / "primitives.js")
    cache = pathlib.Path(app.srcdir, "_build", "node")
    npm.fetched(WEB, cache)
    for library, files in LIBRARIES.items():
        (target / library).mkdir(exist_ok=True)
        for file in files:
            shutil.copy(cache / "node_modules" / library / file, target / library)
    python_archive(target / "python.zip")
    loaded = ("python.zip", "pyodide/pyodide.asm.wasm", "pyodide/python_stdlib.zip")
    functions = functions_module({name: (target / name).stat().st_size for name in loaded})
    (target / "functions.js").write_text(functions, encoding="utf-8", newline="\n")
    for script, modules in {"page": MODULES, "curves": MOVABLE, "cards": LIVE}.items():
        (target / f"{script}.js").write_text(bundle(target, modules), encoding="utf-8", newline="\n")
    logging.getLogger(__name__).info("explorer: written to %s", target)


def setup(app):
    """Register the last step of a build."""
    app.connect("build-finished", write)
    return {"parallel_read_safe": True}
