"""The chapters as notebooks for everywhere else: JupyterLab, VS Code, Colab, GitHub, an empty folder.

The sources of the chapters are MyST, which only this site understands. From each a plain notebook is made, `notebooks/`
beside the pages: its prose is Markdown that every front end has, links lead into the site, exercises have the numbers
that they have there, so do headings and, in a line behind the cell that makes them, figures and tables; solutions are
folded, and outputs are what `actlib.book.plain` makes of the stored ones. Its first
code cell installs `actlib` where that is missing, from the wheel that is built here, too. `notebooks.zip` holds all of
it. Prose is changed where MyST stands in it, and nowhere else; what is unknown here fails the build.
"""

import ast
import copy
import importlib.metadata
import json
import os
import pathlib
import posixpath
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable, Iterator

import nbformat
import numbering
from packaging.requirements import Requirement
from prose import Links, Prose, details, has_plain, is_notebook, unknown
from pybtex.plugin import find_plugin, register_plugin
from sphinx.errors import ExtensionError
from sphinx.util import logging

from actlib.book import plain

FOLDER = "notebooks"
BRANCH = "notebooks"
"""The branch on which the workflow of the same name keeps the folder, for Colab and Binder to open."""

MATTER = {
    "sympy": "sympy",
    "mpmath": "mpmath",
    "flint": "python-flint",
    "matplotlib": "matplotlib",
    "resvg_py": "resvg-py",
}
"""What stored outputs depend on, by module. Not what a front end has compiled for itself, like NumPy or PyTorch."""

FOLDED = {"jupyter": {"source_hidden": True}, "cellView": "form"}
"""Metadata of a cell whose code is folded: JupyterLab's, Colab's. VS Code and GitHub have none, and show it."""


def converted(notebook: nbformat.NotebookNode, links: Links, setup: str) -> nbformat.NotebookNode:
    """The plain notebook of a chapter.

    Args:
        notebook: The chapter.
        links: Where links lead from it.
        setup: Source of the first code cell.

    Raises:
        LookupError, ValueError: Something in it is unknown here.
    """
    prose = Prose(links, [cell.source for cell in notebook.cells if cell.cell_type == "markdown"])
    for cell in notebook.cells:  # once in vain: by now it is known which headings have links to them
        if cell.cell_type == "markdown":
            prose.parts(cell.source)
    prose.solution = ""
    names = numbering.names(numbering.prefix(links.env, links.page), map(_pages, notebook.cells))
    cells, begun = [], set()
    for index, (cell, shown) in enumerate(zip(notebook.cells, names, strict=True)):
        if cell.cell_type == "markdown":
            coded = index + 1 < len(notebook.cells) and notebook.cells[index + 1].cell_type == "code"
            made = []
            for label, text in prose.parts(cell.source):
                made.append(_solution(prose.headings[label], text, label in begun) if label else text)
                begun.add(label)
            if prose.solution and coded and prose.solution not in begun:
                made.append(f"*Solution to {prose.headings[prose.solution]}: the code below, and what follows it.*")
                begun.add(prose.solution)
            if strange := [what for text in made for what in unknown(text)]:
                raise LookupError(f"no Markdown that every notebook shows: {', '.join(strange)}")
            cells += [_markdown(text, f"{cell.get('id', index)}{f'-{i}' if i else ''}") for i, text in enumerate(made)]
        elif cell.cell_type == "code":
            if not any(c.cell_type == "code" for c in cells):
                cells.append(nbformat.v4.new_code_cell(setup, id="setup", metadata=copy.deepcopy(FOLDED)))
            cells.append(_code(cell, links.site, hidden=bool(prose.solution)))
            if shown:
                cells.append(_markdown(f"*Above: {_listed(shown)}.*", f"{cell.get('id', index)}-shown"))
        else:
            raise LookupError(f"plain notebooks have no cells of the kind {cell.cell_type!r}")
    metadata = {**notebook.metadata, "colab": {"provenance": []}}
    plain_notebook = nbformat.v4.new_notebook(cells=cells, metadata=metadata)
    nbformat.validate(plain_notebook)
    return plain_notebook


def _pages(cell: nbformat.NotebookNode) -> Iterator[str]:
    """The HTML of what a cell shows."""
    for output in cell.get("outputs", ()):
        if page := output.get("data", {}).get("text/html"):
            yield page


def _listed(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


def _solution(exercise: str, text: str, begun: bool) -> str:
    return details(f"Solution to {exercise}{', continued' if begun else ''}", text)


def _markdown(text: str, name: str) -> nbformat.NotebookNode:
    return nbformat.v4.new_markdown_cell(text, id=name)


def _code(cell: nbformat.NotebookNode, site: str, hidden: bool) -> nbformat.NotebookNode:
    cell = copy.deepcopy(cell)
    if hidden or "hide-input" in cell.metadata.get("tags", []):
        cell.metadata.update(copy.deepcopy(FOLDED))
    if hidden:
        cell.metadata["jupyter"]["outputs_hidden"] = True
        cell.metadata["collapsed"] = True
    cell.outputs = plain_outputs(cell.outputs, site)
    return cell


def plain_outputs(stored: Iterable[nbformat.NotebookNode], site: str) -> list[nbformat.NotebookNode]:
    """Outputs that every front end shows, in place of stored ones."""
    outputs = []
    for output in stored:
        if "text/html" not in output.get("data", {}):
            outputs.append(output)
            continue
        for data, metadata in plain.outputs(output.data["text/html"], output.data["text/plain"], site):
            outputs.append(nbformat.v4.new_output("display_data", data=data, metadata=metadata))
    return outputs


# -- The first cell

SETUP = """
# @title Set up
# If this notebook came alone: {alone}
# Where actlib is missing, installs it here, with what the chapters import; a virtual environment keeps that to itself.
# Nothing is replaced that this kernel has loaded, nor a PyTorch that is there. Figures and tables suit any notebook.
import importlib.metadata
import importlib.util
import pathlib
import subprocess
import sys

SITE, WHEEL = {site!r}, {wheel!r}
PINS = {pins}
if importlib.util.find_spec("actlib") is None:
    if pathlib.Path(WHEEL).exists():
        source = pathlib.Path(WHEEL).resolve().as_uri()
    elif SITE:
        source = f"{{SITE}}{folder}/{{WHEEL}}"
    else:
        raise ModuleNotFoundError(
            f"actlib is missing: unpack {folder}.zip, which the download menu of each chapter has (All chapters), and "
            f"open this chapter there; or put {{WHEEL}}, which is in it, beside this notebook"
        )
    pins = [f"{{name}}=={{version}}" for module, (name, version) in PINS.items() if module not in sys.modules]
    kept = [name for module, (name, _) in PINS.items() if module in sys.modules]
    kept += [name for name in ("numpy", "scipy", "scikit-learn") if name.replace("scikit-", "sk") in sys.modules]
    kept += ["torch"] if importlib.util.find_spec("torch") else []
    kept = [f"{{name}}=={{importlib.metadata.version(name)}}" for name in kept]  # pip refuses to go on without them
    print("Installing:", ", ".join(["actlib", *pins]))
    wanted = [f"actlib[chapters] @ {{source}}", *pins, *kept]
    command = [sys.executable, "-m", "pip", "install", "--quiet", *wanted]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace")
    if done.returncode:
        instead = f"; {{SITE}}{folder}.zip has all that is needed besides PyPI" if SITE else ""
        raise RuntimeError(f"pip could not install {{wanted}}: {{done.stderr[-2000:]}}{{instead}}")
    importlib.invalidate_caches()

from actlib.book import plain

plain.show(SITE)
"""


def setup_source(site: str, wheel: str) -> str:
    """Source of the first code cell."""
    pins = {module: (name, importlib.metadata.version(name)) for module, name in MATTER.items()}
    lines = "".join(f"    {json.dumps(k)}: {json.dumps(v)[1:-1].join('()')},\n" for k, v in pins.items())
    where = f"is at {site}{FOLDER}.zip" if site else "the download menu of each chapter has (All chapters)"
    alone = f"{FOLDER}.zip, which {where}, holds it with all that it needs besides PyPI."
    source = SETUP.strip().format(site=site, wheel=wheel, pins=f"{{\n{lines}}}", folder=FOLDER, alone=alone)
    ast.parse(source)
    return source.replace("'", '"')


# -- The build


def build_wheel(root: pathlib.Path, target: pathlib.Path) -> str:
    """Builds the wheel of actlib from a copy, so that nothing is left in the repository; gives its name."""
    with tempfile.TemporaryDirectory() as folder:
        project = pathlib.Path(folder)
        shutil.copytree(root / "actlib", project / "actlib", ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(root / name, project)
        build = "import sys, setuptools.build_meta; setuptools.build_meta.build_wheel(sys.argv[1])"
        run = subprocess.run(
            [sys.executable, "-c", build, str(target.resolve())],
            cwd=project,
            env={**os.environ, "SOURCE_DATE_EPOCH": "315532800"},
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
    if run.returncode:
        raise ExtensionError(f"the wheel of actlib could not be built:\n{run.stdout}{run.stderr}")
    (wheel,) = target.glob("*.whl")
    return wheel.name


README = """# {title}

The chapters of the book as plain notebooks, made when the book was built; do not edit them here. Open any of them in
JupyterLab, VS Code or Colab and run it: its first cell installs `{wheel}`, the book's library, where it is missing.
{site}
Code: MIT. Text and figures: CC BY 4.0. See [LICENSE](LICENSE).
"""

ENVIRONMENT = """# For Binder: the processor's PyTorch, and what the stored outputs were made with.
channels: [conda-forge]
dependencies:
  - python=3.11
  - pip
  - pytorch-cpu{torch}
  - pip:
{pins}
      - ../{wheel}
"""


def environment(root: pathlib.Path, wheel: str) -> str:
    """A pinned environment in which the notebooks run, as Binder reads it."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = map(Requirement, [*project["dependencies"], *extras["notebooks"], *extras["chapters"], *extras["onnx"]])
    bounds = {one.name: one.specifier for one in wanted if one.name != "actlib"}
    torch = bounds.pop("torch")
    pins = [f"      - {name}=={importlib.metadata.version(name)}" for name in sorted(bounds)]
    return ENVIRONMENT.format(torch=torch, pins="\n".join(pins), wheel=wheel)


def notebook_of(source: pathlib.Path) -> nbformat.NotebookNode:
    """A chapter; or a page of prose, as a notebook of one cell."""
    if source.suffix == ".ipynb":
        return nbformat.read(source, as_version=4)
    text = nbformat.v4.new_markdown_cell(source.read_text(encoding="utf-8"), id="text")
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return nbformat.v4.new_notebook(cells=[text], metadata={"kernelspec": kernel})


def write(app, error) -> None:
    """Make the folder of plain notebooks, and the archive of it, beside the pages."""
    if error or app.builder.format != "html":
        return
    root, target = pathlib.Path(app.srcdir), pathlib.Path(app.outdir, FOLDER)
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    site = app.config.html_baseurl or ""
    wheel = build_wheel(root, target)
    setup = setup_source(site, wheel)
    for page in sorted(app.env.found_docs):
        if has_plain(app.env, page):
            source = pathlib.Path(app.env.doc2path(page))
            try:
                made = converted(notebook_of(source), Links(app, page), setup)
            except (LookupError, ValueError) as problem:
                raise ExtensionError(f"{page}: {problem.args[0]}") from problem
            nbformat.write(made, target / f"{source.stem}.ipynb")
    shutil.copy(root / "LICENSE", target)
    link = f"\nThe book itself, with a glossary and an explorer, is at {site}\n" if site else ""
    (target / "README.md").write_text(
        README.format(title=app.config.html_title, wheel=wheel, site=link), encoding="utf-8"
    )
    (target / "binder").mkdir()
    (target / "binder" / "environment.yml").write_text(environment(root, wheel), encoding="utf-8")
    with zipfile.ZipFile(target.with_suffix(".zip"), "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for file in sorted(target.iterdir()):
            if file.is_file():
                entry = zipfile.ZipInfo(f"{FOLDER}/{file.name}", (1980, 1, 1, 0, 0, 0))
                archive.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED)
    logging.getLogger(__name__).info("plain notebooks: written to %s", target)


def offer(app, pagename, templatename, context, doctree) -> None:  # noqa: ARG001
    """Let a chapter's buttons lead to its plain notebook: to download it, and to run it where that is possible."""
    if not is_notebook(app.env, pagename):
        return
    name = f"{posixpath.basename(pagename)}.ipynb"
    for group in context["header_buttons"]:
        for button in group.get("buttons", []):
            if button.get("label") == "download-source-button":
                button["url"] = context["pathto"](f"{FOLDER}/{name}", 1)
                button |= {"text": "This notebook (.ipynb)", "tooltip": "Download notebook"}
                every = button | {"url": context["pathto"](f"{FOLDER}.zip", 1), "label": "download-chapters-button"}
                every |= {"text": "All chapters (.zip)", "icon": "fas fa-box-archive"}
                every |= {"tooltip": "Download all chapters as notebooks, with what running them takes"}
                group["buttons"].insert(group["buttons"].index(button) + 1, every)
                break
    repository = re.fullmatch(r"https://github\.com/(.+)", app.config.html_theme_options.get("repository_url", ""))
    if repository:
        colab = f"https://colab.research.google.com/github/{repository[1]}/blob/{BRANCH}/{name}"
        binder = f"https://mybinder.org/v2/gh/{repository[1]}/{BRANCH}?urlpath=lab/tree/{name}"
        buttons = [
            {"type": "link", "text": text, "tooltip": f"Run on {text}", "icon": f"_static/images/{icon}", "url": url}
            for text, icon, url in (("Colab", "logo_colab.png", colab), ("Binder", "logo_binder.svg", binder))
        ]
        group = {"type": "group", "tooltip": "Run this page", "icon": "fas fa-rocket", "label": "launch-buttons"}
        context["header_buttons"].append({**group, "buttons": buttons})


def setup(app):
    """Register the last step of a build, and the buttons, behind the theme's."""
    # pybtex would search all installed packages for it at each citation, of which a build has some thousand
    register_plugin("pybtex.backends", "plaintext", find_plugin("pybtex.backends", "plaintext"), force=True)
    app.connect("build-finished", write)
    app.connect("html-page-context", offer, priority=502)
    return {"parallel_read_safe": True}
