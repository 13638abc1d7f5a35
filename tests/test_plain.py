"""The plain notebooks: what is in them, what they give where nothing is installed, and how they look in JupyterLab."""

import base64
import contextlib
import copy
import functools
import html
import importlib.metadata
import io
import itertools
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tarfile
import time
import tomllib
import types
import urllib.parse
import urllib.request
import zipfile

import address as addresses
import bs4
import nbformat
import PIL.Image
import prose
import pytest
import sympy as sp
import yaml
from conftest import ROOT
from test_book import NOTEBOOKS, glossary

from actlib.book import figures, plain, tables
from actlib.book.evidence import Verdict

FAST = "differences"
"""Executed with every run of the tests; `pytest -m every_notebook` executes the others."""
SHOWN = ("01_sigmoid", "07_softmax", "10_compare")
"""Looked at in JupyterLab as they are stored."""
MYST = re.compile(r"\{[\w:+-]+\}`|^\s*(?::{3,}|`{3,}\{)|^:[\w-]+:|^\([\w-]+\)=|\$\$\s*\([\w-]+\)", re.MULTILINE)

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)


@functools.cache
def read(path):
    return nbformat.read(path, as_version=4)


@pytest.fixture
def pair(site, path):
    """A chapter and its plain notebook."""
    return read(path), read(site / "notebooks" / path.name)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def markdown(notebook):
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def without_code(text):
    return re.sub(r"```.*?```|(`+)[^`].*?\1", "", text, flags=re.DOTALL)


def headings(text):
    return re.findall(r"^#+ (.*)$", without_code(text), re.MULTILINE)


def shown(outputs):
    """Outputs without what counts how often a kernel was asked."""
    return [{k: v for k, v in output.items() if k != "execution_count"} for output in outputs]


# -- What is in them


@each
def test_notebook_is_valid(pair):
    nbformat.validate(pair[1])
    assert pair[1].metadata.kernelspec == pair[0].metadata.kernelspec


@each
def test_prose_is_markdown_alone(pair):
    for cell in pair[1].cells:
        if cell.cell_type == "markdown":
            assert not MYST.findall(without_code(cell.source))
            assert prose.unknown(cell.source) == []


@each
def test_prose_is_all_there(pair):
    """Words outside of what only the site shows are those of the chapter, in their order."""

    def words(text):
        text = re.sub(
            r"```\{(index|bibliography)\}.*?```|\$\$.*?\$\$|\$[^$]*\$|<div.*?</div>", "", text, flags=re.DOTALL
        )
        text = re.sub(
            r"\{[\w:]+\}`[^`]*`|\[[^\]]*\]\([^)]*\)|^[:(][\w-]+(:.*|\)=)$|[`:]{3,}.*$", "", text, flags=re.MULTILINE
        )
        return [word for word in re.findall(r"[a-z]{5,}", text) if word not in ("details", "summary")]

    before, after = words(markdown(pair[0])), iter(words(markdown(pair[1])))
    assert [word for word in before if not any(word == other for other in after)] == []


@each
def test_code_is_that_of_the_chapter_behind_one_cell(pair):
    chapter, notebook = map(code, pair)
    assert notebook[0].execution_count is None
    assert "plain.show" in notebook[0].source
    assert [(c.source, c.execution_count) for c in notebook[1:]] == [(c.source, c.execution_count) for c in chapter]


@each
def test_every_output_has_its_counterpart(pair):
    for before, after in zip(code(pair[0]), code(pair[1])[1:], strict=True):
        counterparts = iter(after.outputs)
        for output in before.outputs:
            page = output.get("data", {}).get("text/html", "")
            counterpart = next(counterparts)
            if "<svg" in page:
                assert base64.b64decode(counterpart.data["image/png"]).startswith(b"\x89PNG")
                alt = html.unescape(re.search('aria-label="([^"]*)"', page)[1])
                assert counterpart.metadata["image/png"]["alt"] == counterpart.metadata["vscode_altText"] == alt
                said = next(counterparts).data["text/markdown"]
                assert bs4.BeautifulSoup(page, "html.parser").figcaption.text.split()[0] in said
            elif page:
                rows = bs4.BeautifulSoup(page, "html.parser")("tr")
                lines = [line for line in counterpart.data["text/markdown"].splitlines() if line.startswith("|")]
                assert len(lines) == len(rows) + (1 if "<thead>" in page else 2)
                assert len({len(re.split(r"(?<!\\)\|", line)) for line in lines}) == 1
            else:
                assert counterpart == output
        assert next(counterparts, None) is None


@each
def test_no_output_needs_a_style_sheet_or_trust(pair):
    kinds = {kind for cell in code(pair[1]) for output in cell.outputs for kind in output.get("data", {})}
    assert kinds <= {"text/plain", "text/markdown", "text/latex", "image/png"}


@each
def test_exercises_are_numbered_as_on_the_site(site, path, pair):
    page = bs4.BeautifulSoup((site / "book" / f"{path.stem}.html").read_text(encoding="utf-8"), "html.parser")
    numbers = [title.text.strip() for title in page.select(".exercise > .admonition-title .caption-number")]
    assert [h for h in headings(markdown(pair[1])) if re.match(r"Exercise [\d.]+$", h)] == numbers
    theorems = [title.text.strip() for title in page.select(".theorem .caption-number")]
    assert re.findall(r"^> \*\*(Theorem [\d.]+)\*\*", markdown(pair[1]), re.MULTILINE) == theorems


@each
def test_headings_figures_and_tables_are_numbered_as_on_the_site(site, path, pair):
    page = bs4.BeautifulSoup((site / "book" / f"{path.stem}.html").read_text(encoding="utf-8"), "html.parser")
    numbers = [number.get_text() for number in page.select("article .section-number")]
    found = [re.match(r"[\d.]+\. ", heading) for heading in headings(markdown(pair[1]))]
    assert [number[0].rstrip() for number in found if number] == [number.strip() for number in numbers]
    shown = [link.get_text().rstrip(".") for link in page.select(".cell_output .act-number-link")]
    told = re.findall(r"^\*Above: (.+)\.\*$", markdown(pair[1]), re.MULTILINE)
    assert [name for line in told for name in re.split(", | and ", line)] == shown
    for cell, after in itertools.pairwise(pair[1].cells):
        pictures = re.findall("image/png", str([list(o.get("data", {})) for o in cell.get("outputs", [])]))
        assert len(pictures) == (after.source.count("Figure") if after.source.startswith("*Above:") else 0)


@each
def test_solutions_are_folded(pair):
    text = "\n".join(cell.source if cell.cell_type == "markdown" else "" for cell in pair[0].cells)
    solved = len(re.findall(r"\{solution-start\}", text))
    told = re.findall(r"(?:<summary>|\*)Solution to (Exercise [\d.]+)(?:<|:)", markdown(pair[1]))
    assert len(told) == len(set(told)) == solved
    inside, folded = False, []
    for cell in pair[0].cells:
        if cell.cell_type == "markdown":
            gates = re.findall(r"\{solution-(start|end)\}", cell.source)
            inside = gates[-1] == "start" if gates else inside
        else:
            folded.append(inside)
    hidden = [cell.metadata.get("jupyter", {}).get("outputs_hidden", False) for cell in code(pair[1])[1:]]
    assert hidden == folded
    for before, after, solution in zip(code(pair[0]), code(pair[1])[1:], folded, strict=True):
        concealed = solution or "hide-input" in before.metadata.get("tags", [])
        assert after.metadata.get("jupyter", {}).get("source_hidden", False) == concealed
        assert (after.metadata.get("cellView") == "form") == concealed


@each
def test_links_lead_somewhere(site, pair):
    anchors = {heading.replace(" ", "-") for heading in headings(markdown(pair[1]))}
    texts = [*(o.data.get("text/markdown", "") for c in code(pair[1]) for o in c.outputs if "data" in o)]
    targets = re.findall(r"\]\(([^)\s]+)\)", without_code("\n".join([markdown(pair[1]), *texts])))
    assert targets
    for target in targets:
        url = urllib.parse.urlsplit(target)
        if url.scheme:
            assert url.scheme == "https"
        elif not url.path:
            assert urllib.parse.unquote(url.fragment) in anchors
        else:
            file = site / "notebooks" / url.path
            assert file.exists(), target
            if file.suffix == ".ipynb":
                there = {heading.replace(" ", "-") for heading in headings(markdown(read(file)))}
                assert not url.fragment or urllib.parse.unquote(url.fragment) in there
            else:
                assert not url.fragment or f'id="{url.fragment}"' in file.resolve().read_text(encoding="utf-8")


def test_glossary_comes_with_the_chapters(site):
    """Where the site's address is not known, terms lead there."""
    notebook = read(site / "notebooks" / "glossary.ipynb")
    nbformat.validate(notebook)
    assert prose.unknown(markdown(notebook)) == []
    assert headings(markdown(notebook))[1:] == [name for names, _, _ in glossary() for name in names]
    chapter = markdown(read(site / "notebooks" / "01_sigmoid.ipynb"))
    assert "[finite differences](glossary.ipynb#finite-difference)" in chapter


def test_citations_read_as_in_prose(site):
    text = markdown(read(site / "notebooks" / "01_sigmoid.ipynb"))
    assert "([Berkson, 1944](#1.10.-References))" in text
    assert "- Joseph Berkson. Application of the logistic function" in text.partition("\n## 1.10. References\n")[2]


def test_archive_holds_everything_that_running_takes(site):
    folder = site / "notebooks"
    files = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
    with zipfile.ZipFile(site / "notebooks.zip") as archive:
        assert {name: archive.read(f"notebooks/{name}") for name in files} == files
        assert len(archive.namelist()) == len(files)
    assert set(files) >= {path.name for path in NOTEBOOKS}
    assert [name for name in files if name.endswith(".whl")]
    assert 'href="../notebooks.zip"' in (site / "book" / "intro.html").read_text(encoding="utf-8")


def test_wheel_is_the_package(site):
    (wheel,) = (site / "notebooks").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = {n: archive.read(n) for n in archive.namelist() if n.startswith("actlib/")}
    wanted = [p for p in (ROOT / "actlib").rglob("*") if p.is_file() and p.suffix in (".py", ".js", ".json")]
    assert packed == {p.relative_to(ROOT).as_posix(): p.read_bytes() for p in wanted}


def test_building_leaves_nothing_in_the_repository(site):
    assert site
    assert not [ROOT / name for name in ("build", "dist") if (ROOT / name).exists()]


def test_environment_of_binder_is_pinned(site):
    folder = site / "notebooks"
    found = yaml.safe_load((folder / "binder" / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    (pip,) = (entry["pip"] for entry in found if isinstance(entry, dict))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["notebooks"], *extras["chapters"], *extras["onnx"]]
    names = {re.match(r"[\w-]+", line)[0] for line in wanted} - {"torch", "actlib"}
    assert {line.partition("==")[0] for line in pip if "==" in line} == names
    (wheel,) = (line for line in pip if "==" not in line)
    assert (folder / "binder" / wheel).exists()  # pip reads it in the folder of the environment
    (torch,) = (line for line in project["dependencies"] if line.startswith("torch"))
    assert torch.replace("torch", "pytorch-cpu") in found


# -- What MyST becomes


class Somewhere:
    """Links of a page whose site has everything."""

    env = types.SimpleNamespace(toc_fignumbers={"page": {"exercise": {"ex": (1, 2)}, "theorem": {"th": (1, 1)}}})
    page = "page"
    address = staticmethod(lambda page, anchor="": f"/{page}#{anchor}")
    place = staticmethod(lambda name: ("page" if name in ("ex", "th") else name, name, "Title"))
    term = staticmethod(lambda name: f"/glossary#{name}")
    number = staticmethod(lambda kind, label: {"ex": "1.2", "th": "1.1"}[label] if kind else "")
    equation = staticmethod(lambda label: {"euler": "7"}[label])
    cited = staticmethod(lambda style, keys: f"({keys})" if style == "p" else keys)
    bibliography = "- A work"

    def __init__(self, *numbers):
        self.sections = lambda: numbers


def parts(source, *numbers):
    numbers = numbers or [""] * len(re.findall("^#", source, re.MULTILINE))
    made = prose.Prose(Somewhere(*numbers), [source])
    made.parts(source)
    made.solution = ""
    return made.parts(source)


def told(source, *numbers):
    return "\n".join(text for _, text in parts(source, *numbers))


@pytest.mark.parametrize(
    ("myst", "plainly"),
    [
        ("{term}`odds`, {term}`the odds <odds>`", "[odds](/glossary#odds), [the odds](/glossary#odds)"),
        ("{ref}`there <label>` {doc}`other`", "[there](/label#label) [Title](/other#other)"),
        ("{numref}`ex` {prf:ref}`th`", "[Exercise 1.2](/page#ex) [Theorem 1.1](/page#th)"),
        ("so {cite:p}`a,b` as {cite:t}`c`", "so (a,b) as c"),
        ("{math}`x^2`, {eq}`euler`", "$x^2$, (7)"),
        ("`{term}` and ``{term}`odds` ``", "`{term}` and ``{term}`odds` ``"),
        ("```{index} a, b\n```\n\nText.", "Text."),
        ("```python\n{term}`odds`\n```", "```python\n{term}`odds`\n```"),
        ("% said to nobody\n\nText.\n\n+++\n\nMore.", "Text.\n\nMore."),
        ("$$ e = 1 $$ (euler)", r"$$ e = 1  \tag{7}$$"),
        ("```{math}\n:label: euler\n\ne = 1\n```", "$$\ne = 1 \\tag{7}\n$$"),
        (":::{note}\nLook.\n:::", "> **Note**\n>\n> Look."),
        (":::{admonition} Why $x$\nLook.\n:::", "> **Why $x$**\n>\n> Look."),
        (":::{margin}\nLook.\n:::", "> Look."),
        (":::{dropdown} More\nLook.\n:::", "<details><summary>More</summary>\n\nLook.\n\n</details>"),
        (
            "::::{tab-set}\n:::{tab-item} A\none\n:::\n:::{tab-item} B\ntwo\n:::\n::::",
            "> **A**\n>\n> one\n\n> **B**\n>\n> two",
        ),
        ("::::{grid} 2\n:gutter: 3\n\n:::{grid-item}\none\n:::\n::::", "one"),
        ("```{exercise}\n:label: ex\n\nShow.\n```", "### Exercise 1.2\n\nShow."),
        ("```{prf:theorem} Name\n:label: th\n\nIt is.\n```", "> **Theorem 1.1** (Name)\n>\n> It is."),
        ("```{prf:proof}\nSo\n\n$$\nx\n= y\n$$\n```", "> *Proof.* So\n>\n> $$ x = y $$"),
        ("```{bibliography}\n:all:\n```", "- A work"),
        (
            "(here)=\n## A *place*?\n\nSee [it](#here) and [it](#a-place).",
            '<a id="A-place?"></a>\n\n## A *place*?\n\nSee [it](#A-place?) and [it](#A-place?).',
        ),
        ("| a |\n| :-- |\n| {term}`odds` |", "| a |\n| :-- |\n| [odds](/glossary#odds) |"),
        (
            '<div class="act-flow" role="img">\n<span>a<br>b</span><span>→</span><span>c</span>\n</div>',
            "> a b → c",
        ),
    ],
)
def test_myst_becomes_markdown(myst, plainly):
    assert told(myst) == plainly
    assert prose.unknown(plainly) == []


def test_solution_that_spans_cells_is_known_to_be_one():
    source = "```{exercise}\n:label: ex\n\nShow.\n```\n\n```{solution-start} ex\n:class: dropdown\n```\n\nThus:"
    made = prose.Prose(Somewhere(""), [source, "## Next"])
    assert made.parts(source) == [("", "### Exercise 1.2\n\nShow."), ("ex", "Thus:")]
    assert made.parts("Done.\n\n```{solution-end}\n```\n\n## Next") == [("ex", "Done."), ("", "## Next")]


def test_headings_have_their_numbers_and_links_lead_there():
    text = told("# Title\n\n(here)=\n## A *place*?\n\nSee [it](#here).", "3", "3.1")
    assert text == '# 3. Title\n\n<a id="3.1.-A-place?"></a>\n\n## 3.1. A *place*?\n\nSee [it](#3.1.-A-place?).'


def test_headings_that_are_not_those_of_the_site_are_an_error():
    with pytest.raises(ValueError, match="has 1 headings, but 2"):
        told("# Title\n\n## More", "3")


@pytest.mark.parametrize(
    ("myst", "message"),
    [
        ("```{figure} a.png\n```", r"no directive \{figure\}"),
        ("{download}`a`", r"no role \{download\}"),
        ("![a](a.png)", "no files of images"),
        ("[a](#nowhere)", "no heading"),
        (":::{note}\nLook.", "does not end"),
    ],
)
def test_unknown_myst_is_an_error(myst, message):
    with pytest.raises((LookupError, ValueError), match=message):
        told(myst)


@pytest.mark.parametrize(
    "strange",
    [
        *("{term}`odds`", "```{note}\nx\n```", ":::{note}\nx\n:::", "(label)=\n# A", "{{ name }}", "[^1]\n\n[^1]: a"),
        *("[a]{.red}", "{.red}\ntext", "Term\n: what it is", '<span class="x">a</span>', "<script>1</script>", "% a"),
        *("\\begin{align}\na\n\\end{align}", ":key: value", "$$ x $$ (label)"),
    ],
)
def test_markdown_that_only_the_site_has_is_noticed(strange):
    assert prose.unknown(strange)


# -- What outputs become


def one_table(**options):
    x = sp.Symbol("x")
    rows = [["|x|_1", sp.Abs(x), 1234, Verdict.DEPENDS], ["`a|b`", sp.Matrix([[x, 1]]), 5, "[see](01_x.html#y) $ *"]]
    return tables.Table(["", "formula", "count", "verdict"], rows, **options)


def test_table_becomes_markdown():
    ((data, metadata),) = plain.outputs(one_table(caption="Of <code>f</code>")._repr_html_(), "text")
    assert metadata == {}
    assert data["text/plain"] == "text"
    assert data["text/markdown"].splitlines() == [
        "Of `f`",
        "",
        "|  | formula | count | verdict |",
        "| :-- | :-- | --: | :-- |",
        r"| \|x\|\_1 | $\left\vert {x}\right\vert $ | 1,234 | " "**◐\u00a0depends** |",
        r"| `a\|b` | $\left[\begin{matrix}x & 1\end{matrix}\right]$ | 5 | [see](01_x.ipynb) \$ \* |",
    ]


def test_a_cell_that_spans_columns_leaves_the_rest_of_them_empty():
    page = '<div class="act-scroll"><table><tbody><tr><th colspan="2">a</th><td>b</td></tr></tbody></table></div>'
    ((data, _),) = plain.outputs(page, "")
    assert data["text/markdown"].splitlines()[-1] == "| a |  | b |"


def test_links_of_a_table_lead_into_the_site_where_that_is_known():
    ((data, _),) = plain.outputs(one_table()._repr_html_(), "", "https://a.b/")
    assert "[see](https://a.b/book/01_x.html#y)" in data["text/markdown"]


def test_folded_table_stays_folded():
    ((data, _),) = plain.outputs(one_table(fold="All of it")._repr_html_(), "")
    assert data["text/markdown"].startswith("<details><summary>All of it</summary>\n\n| ")
    assert data["text/markdown"].endswith(" |\n\n</details>")


def one_figure():
    figure, axes = figures.new()
    figures.lines(axes, figures.grid(0, 1, 5).numpy(), {"f": figures.grid(0, 1, 5).numpy()})
    return figures.Figure(figure, "A line that rises <slowly>", "Up, as <em>f</em> says.")


def test_figure_becomes_a_picture_on_white_and_what_is_said_of_it():
    made = one_figure()
    (picture, metadata), (said, _) = plain.outputs(made._repr_html_(), repr(made))
    assert metadata["image/png"] == {"width": 704, "height": 320, "alt": "A line that rises <slowly>"}
    image = PIL.Image.open(io.BytesIO(base64.b64decode(picture["image/png"]))).convert("RGBA")
    assert image.size == (2 * 704, 2 * 320)
    colours = {colour: count for count, colour in image.getcolors(1 << 20)}
    assert {alpha for *_, alpha in colours} == {255}
    assert max(colours, key=colours.get) == (255, 255, 255, 255)
    inside = image.convert("L").point(lambda grey: 255 * (grey < 250)).getbbox()
    assert min(*inside[:2], image.width - inside[2], image.height - inside[3]) >= 8
    for colour in (plain.LIGHT["--act-1"], plain.INK):  # the curve; text and axes
        assert (*bytes.fromhex(colour[1:]), 255) in colours
    assert said["text/markdown"].startswith("Up, as *f* says.\n\n<details>")
    assert "A line that rises &lt;slowly>" in said["text/markdown"]


def test_text_of_a_picture_is_drawn():
    svg = one_figure().svg
    assert plain.png(svg) != plain.png(re.sub(r">[^<>]*</text>", "></text>", svg))
    assert plain.png(svg) == plain.png(svg)


def test_colours_are_those_of_the_light_page():
    style = (ROOT / "book" / "_static" / "book.css").read_text(encoding="utf-8")
    light = re.search(r"\nhtml \{(.*?)\}", style, re.DOTALL)[1]
    assert {
        name: colour for name, colour in re.findall(r"(--act-[\w-]+): (#\w+);", light) if name in plain.LIGHT
    } == plain.LIGHT
    assert set(re.findall(r"var\((--act-[\w-]+)", one_figure().svg)) <= set(plain.LIGHT)


@pytest.mark.parametrize("page", ["<p>text</p>", "", "<table><tr><td>1</td></tr></table>"])
def test_html_of_another_make_is_refused(page):
    with pytest.raises(ValueError, match=r"expected the HTML of a figures\.Figure or a tables\.Table"):
        plain.outputs(page, "text")


def test_cell_with_a_strange_tag_is_refused():
    page = one_table(caption="<video/>")._repr_html_()
    with pytest.raises(ValueError, match="<video>"):
        plain.outputs(page, "text")


def test_without_a_notebook_nothing_changes():
    plain.show("https://a.b/")
    assert one_table()._repr_html_().startswith('<div class="act-scroll')


# -- Where nothing is installed


@pytest.fixture(scope="session")
def fresh(tmp_path_factory):
    """The Python of a virtual environment that has everything but actlib, which is out of reach."""
    folder = tmp_path_factory.mktemp("fresh")
    shared, venv = folder / "shared", folder / "venv"
    shared.mkdir()
    for place in map(pathlib.Path, sys.path):
        if place.name != "site-packages":
            continue
        for entry in place.iterdir():
            name = entry.name.lower()
            mine = name.startswith(("actlib", "__editable__")) or name.endswith((".pth", ".egg-link"))
            if not mine and name not in ("pip", "__pycache__") and not (shared / entry.name).exists():
                (shared / entry.name).symlink_to(entry)
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    python = venv / "bin" / "python"
    where = subprocess.run(
        [python, "-c", "import site; print(site.getsitepackages()[0])"],
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    own = pathlib.Path(where.stdout.strip())
    for bundled in own.glob("setuptools*"):  # of Python 3.11's venv, and older than ours
        bundled.rename(folder / bundled.name)
    (own / "shared.pth").write_text(f"{shared}\n", encoding="utf-8")
    return python


EXECUTE = """
import sys, nbclient, nbformat
notebook = nbformat.read(sys.argv[1], 4)
notebook.cells.append(nbformat.v4.new_code_cell("import actlib; print(actlib.__file__)"))
nbclient.execute(notebook, timeout=None, record_timing=False, coalesce_streams=True)
nbformat.write(notebook, sys.argv[2])
"""


@pytest.fixture(scope="session")
def execute(fresh, site, tmp_path_factory):
    """Executes a plain notebook in a folder that has nothing else, as unzipped, and without a network."""
    folder = tmp_path_factory.mktemp("reader")
    for file in (site / "notebooks").iterdir():
        if file.suffix == ".whl":
            (folder / file.name).write_bytes(file.read_bytes())
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment |= {"PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "JUPYTER_DATA_DIR": str(folder / "data")}
    environment |= {"IPYTHONDIR": str(folder / "ipython"), "PYTHONNOUSERSITE": "1"}

    def run(name, notebook=None):
        made = folder / f"executed-{name}.ipynb"
        if not made.exists():
            nbformat.write(notebook or read(site / "notebooks" / f"{name}.ipynb"), folder / f"{name}.ipynb")
            command = [fresh, "-c", EXECUTE, f"{name}.ipynb", made.name]
            run = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, encoding="utf-8", check=False
            )
            assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
        return nbformat.read(made, as_version=4)

    return run


def check_execution(execute, fresh, site, name):
    stored, executed = code(read(site / "notebooks" / f"{name}.ipynb")), code(execute(name))
    *executed, where = executed
    assert pathlib.Path(where.outputs[0].text.strip()).is_relative_to(fresh.parents[1])
    assert len(executed) == len(stored)
    for before, after in zip(stored[1:], executed[1:], strict=True):
        assert shown(after.outputs) == shown(before.outputs), after.source
    return executed[0].outputs


def test_notebook_runs_in_an_empty_folder(execute, fresh, site):
    """The first cell installs actlib from the wheel beside it, and all other cells give what is stored."""
    (installed,) = check_execution(execute, fresh, site, FAST)
    assert re.fullmatch(r"Installing: actlib(, [\w-]+==[\d.]+)+\n", installed.text)


@pytest.mark.every_notebook
@pytest.mark.parametrize("name", [n.stem for n in NOTEBOOKS if n.stem != FAST])
def test_every_notebook_runs_in_an_empty_folder(execute, fresh, site, name):
    check_execution(execute, fresh, site, name)


def test_figure_is_the_stored_one(execute, site):
    """A chapter up to its first figure, which is a picture here, and a table behind it."""
    notebook = copy.deepcopy(read(site / "notebooks" / f"{SHOWN[0]}.ipynb"))
    first = next(i for i, c in enumerate(notebook.cells) if "image/png" in str(c.get("outputs", "")))
    table = next(i for i, c in enumerate(notebook.cells) if i > first and c.cell_type == "code")
    notebook.cells = notebook.cells[: table + 1]
    *executed, _ = code(execute("beginning", notebook))
    stored = code(notebook)
    assert [shown(cell.outputs) for cell in executed[1:]] == [shown(cell.outputs) for cell in stored[1:]]
    assert {"image/png", "text/markdown", "text/latex"} <= {
        kind for cell in executed for output in cell.outputs for kind in output.get("data", {})
    }


def first_cell(site):
    return code(read(site / "notebooks" / f"{FAST}.ipynb"))[0].source


def test_first_cell_does_nothing_where_actlib_is_installed(site, tmp_path):
    alone = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": ""}
    run = subprocess.run(
        [sys.executable, "-c", first_cell(site)],
        cwd=tmp_path,
        env=alone,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def setup_run(source, folder, loaded=(), code=0):
    """What the first cell would install if actlib were missing: the arguments of pip."""
    asked, kept = [], dict(sys.modules)
    done = types.SimpleNamespace(returncode=code, stderr="no such wheel")
    fake = types.SimpleNamespace(run=lambda command, **_: asked.append(command) or done)
    finder = types.SimpleNamespace(find_spec=lambda name: None if name == "actlib" else name)
    importlib_ = types.SimpleNamespace(util=finder, metadata=importlib.metadata, invalidate_caches=lambda: None)
    # The cell as it is, with modules that it would import replaced.
    replaced = {"subprocess": fake, "importlib": importlib_, "importlib.util": finder}
    replaced["importlib.metadata"] = importlib.metadata
    try:
        for module in ("sympy", "mpmath", "flint", "matplotlib", "resvg_py"):
            if module not in loaded:
                sys.modules.pop(module, None)
        sys.modules.update(replaced)
        with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()) as said:
            exec(compile(source.partition("\nfrom actlib.book")[0], "cell", "exec"), {})
    finally:
        sys.modules.clear()
        sys.modules.update(kept)
    return asked[0], said.getvalue()


def test_first_cell_keeps_what_is_loaded_and_the_torch_that_is_there(site, tmp_path):
    (wheel,) = (file.name for file in (site / "notebooks").glob("*.whl"))
    (tmp_path / wheel).touch()
    command, said = setup_run(first_cell(site), tmp_path, loaded=("sympy", "mpmath"))
    wanted = [argument for argument in command if "==" in argument]
    assert [w.partition("==")[0] for w in wanted][:3] == ["python-flint", "matplotlib", "resvg-py"]
    assert {f"{name}=={importlib.metadata.version(name)}" for name in ("sympy", "mpmath", "torch")} <= set(wanted)
    assert f"actlib[chapters] @ {(tmp_path / wheel).as_uri()}" in command
    assert not [argument for argument in command if "--upgrade" in argument]
    assert said.count("\n") == 1


def test_first_cell_says_why_pip_failed(site, tmp_path):
    (wheel,) = (file.name for file in (site / "notebooks").glob("*.whl"))
    (tmp_path / wheel).touch()
    with pytest.raises(RuntimeError, match=r"pip could not install .*: no such wheel"):
        setup_run(first_cell(site), tmp_path, code=1)


def test_first_cell_says_what_is_missing_where_no_wheel_is_to_be_had(site, tmp_path):
    with pytest.raises(ModuleNotFoundError, match=r"put actlib-.*\.whl, which is in it, beside this notebook"):
        setup_run(first_cell(site), tmp_path)
    assert "notebooks.zip, which the download menu of each chapter has (All chapters), holds it" in first_cell(site)


@each
def test_every_chapter_leads_to_all_of_them(site, path):
    page = bs4.BeautifulSoup((site / "book" / f"{path.stem}.html").read_text(encoding="utf-8"), "html.parser")
    links = {link.get_text(strip=True): link["href"] for link in page.select(".dropdown-download-buttons a[href]")}
    assert links["All chapters (.zip)"] == "../notebooks.zip"
    assert links["This notebook (.ipynb)"] == f"../notebooks/{path.name}"


# -- In JupyterLab


@pytest.fixture(scope="session")
def lab(tmp_path_factory, site, execute):
    """A JupyterLab with the plain notebooks, as stored and one executed; gives its address for a theme."""
    pytest.importorskip("jupyterlab") if os.environ.get("CI") != "true" else __import__("jupyterlab")
    home = tmp_path_factory.mktemp("lab")
    folder, settings = home / "folder", home / "settings" / "@jupyterlab"
    folder.mkdir()
    for path in NOTEBOOKS:
        (folder / path.name).write_bytes((site / "notebooks" / path.name).read_bytes())
    nbformat.write(execute(FAST), folder / "executed.ipynb")
    for extension, name, wanted in (
        ("apputils-extension", "notification", {"fetchNews": "false", "checkForUpdates": False}),
        ("apputils-extension", "themes", {"adaptive-theme": True}),
        ("notebook-extension", "tracker", {"windowingMode": "none"}),  # all cells are in the page, seen or not
    ):
        (settings / extension).mkdir(parents=True, exist_ok=True)
        (settings / extension / f"{name}.jupyterlab-settings").write_text(json.dumps(wanted), encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    places = {"CONFIG_DIR": "config", "DATA_DIR": "data", "RUNTIME_DIR": "runtime"}
    environment = {**os.environ, **{f"JUPYTER_{name}": str(home / place) for name, place in places.items()}}
    environment |= {"JUPYTERLAB_SETTINGS_DIR": str(home / "settings"), "JUPYTERLAB_WORKSPACES_DIR": str(home / "work")}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}"]
    command += ["--IdentityProvider.token=", f"--ServerApp.root_dir={folder}", "--ServerApp.ip=127.0.0.1"]
    with (home / "log").open("w") as log, subprocess.Popen(command, env=environment, stdout=log, stderr=log) as server:
        try:
            address = f"http://127.0.0.1:{port}"
            until = time.monotonic() + 120
            while server.poll() is None and time.monotonic() < until:
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(f"{address}/api").close()
                    break
                time.sleep(0.2)
            assert server.poll() is None, (home / "log").read_text(encoding="utf-8")
            yield address
        finally:
            server.terminate()


READ = r"""() => {
    const notebook = document.querySelector('.jp-Notebook');
    const walker = document.createTreeWalker(notebook, NodeFilter.SHOW_TEXT), texts = [];
    while (walker.nextNode()) {
        const parent = walker.currentNode.parentElement;
        if (!parent.closest('.jp-InputArea-editor, .jp-InputPlaceholder, pre, code, script, style, mjx-container'))
            texts.push(walker.currentNode.data);
    }
    return {
        text: texts.join(' '),
        pictures: [...notebook.querySelectorAll('img')].map((e) => [e.naturalWidth, e.getBoundingClientRect().width]),
        unfolded: notebook.querySelectorAll('details[open]').length,
        folded: notebook.querySelectorAll('details').length,
        code: notebook.querySelectorAll('.jp-CodeCell .jp-InputPlaceholder').length,
        outputs: notebook.querySelectorAll('.jp-CodeCell .jp-OutputPlaceholder').length,
        formulas: notebook.querySelectorAll('mjx-container').length,
        wrong: notebook.querySelectorAll('mjx-merror, [data-mjx-error]').length,
        tables: notebook.querySelectorAll('.jp-OutputArea table').length,
    };
}"""


@pytest.mark.parametrize(
    ("name", "theme"),
    [(SHOWN[0], "light"), (SHOWN[1], "dark"), (SHOWN[2], "light"), ("executed", "dark")],
)
def test_notebook_looks_right_in_jupyterlab(browser, lab, site, execute, name, theme):
    notebook = execute(FAST) if name == "executed" else read(site / "notebooks" / f"{name}.ipynb")
    page = browser.new_page(viewport={"width": 1280, "height": 1000}, color_scheme=theme)
    try:
        page.goto(f"{lab}/doc/tree/{name}.ipynb?reset")
        page.wait_for_selector(f".jp-Notebook .jp-Cell >> nth={len(notebook.cells) - 1}", timeout=120_000)
        page.wait_for_selector(".jp-Notebook mjx-container", state="attached", timeout=60_000)
        page.wait_for_function(
            """(count) => {
                const images = [...document.querySelectorAll('.jp-Notebook img')];
                return images.length === count && images.every((e) => e.complete)
                    && !document.querySelector('.jp-MarkdownOutput:empty');
            }""",
            arg=sum("image/png" in o.get("data", {}) for c in code(notebook) for o in c.outputs),
            timeout=60_000,
        )
        seen = settled(page)
    finally:
        page.close()
    raw = re.findall(r".{0,40}(?:\{term\}|\{cite|:::|:label:|\\\(|\\\[|\$).{0,40}", seen["text"])
    assert raw == []
    assert all(natural > 0 and width > 100 for natural, width in seen["pictures"])
    hidden = [cell for cell in code(notebook) if cell.metadata.get("jupyter", {}).get("source_hidden")]
    concealed = [cell for cell in hidden if cell.metadata.jupyter.get("outputs_hidden") and cell.outputs]
    assert (seen["unfolded"], seen["code"], seen["outputs"]) == (0, len(hidden), len(concealed))
    solutions = markdown(notebook).count("<details>")
    assert solutions > 0 or name not in SHOWN[:2]
    assert seen["folded"] >= solutions
    assert seen["formulas"] > 20
    assert seen["wrong"] == 0
    visible = [cell for cell in code(notebook) if cell not in concealed]
    kept = [o.data["text/markdown"] for c in visible for o in c.outputs if "text/markdown" in o.get("data", {})]
    assert seen["tables"] == sum("\n| :-- |" in text for text in kept)


def settled(page):
    """What is seen once the same is seen twice: formulas are typeset one after the other."""
    seen = page.evaluate(READ)
    for _ in range(60):
        page.wait_for_timeout(500)
        before, seen = seen, page.evaluate(READ)
        if before == seen and not re.search(r"\$|\\\(", seen["text"]):
            break
    return seen


# -- Where the book is published


def test_pages_lead_to_where_they_can_be_run_and_mended(published_site):
    for path in NOTEBOOKS:
        page = bs4.BeautifulSoup(
            (published_site / "book" / f"{path.stem}.html").read_text(encoding="utf-8"), "html.parser"
        )
        links = {link["href"] for link in page.select(".article-header-buttons a[href]")}
        repository = "https://github.com/Ada/curves"
        assert {link for link in links if link.startswith("https:")} == {
            f"https://colab.research.google.com/github/Ada/curves/blob/notebooks/{path.name}",
            f"https://mybinder.org/v2/gh/Ada/curves/notebooks?urlpath=lab/tree/{path.name}",
            repository,
            f"{repository}/edit/main/book/{path.name}",
            f"{repository}/issues/new?title=Issue%20on%20page%20%2Fbook/{path.stem}.html&body=Your%20issue%20content%20here.",
        }
        assert f"../notebooks/{path.name}" in links
        assert page.find("link", rel="canonical")["href"] == f"https://ada.github.io/curves/book/{path.stem}.html"
        assert (published_site / "notebooks" / path.name).exists()


def test_published_notebooks_lead_into_the_site(published_site):
    notebook = read(published_site / "notebooks" / "01_sigmoid.ipynb")
    text, site = markdown(notebook), "https://ada.github.io/curves/"
    assert f"[odds]({site}book/glossary.html#term-odds)" in text
    assert f'SITE, WHEEL = "{site}", "actlib-' in code(notebook)[0].source
    assert re.search(rf"\(\[Berkson, 1944\]\({site}book/01_sigmoid\.html#[\w-]+\)\)", text)
    targets = [t for t in re.findall(r"\]\(([^)\s]+)\)", without_code(text)) if not t.startswith("#")]
    assert not [target for target in targets if not target.startswith("https://")]
    for target in targets:
        if target.startswith(site):
            file, _, anchor = target.removeprefix(site).partition("#")
            assert not anchor or f'id="{anchor}"' in (published_site / file).read_text(encoding="utf-8")


def test_published_first_cell_installs_from_the_site(published_site, tmp_path):
    command, _ = setup_run(first_cell(published_site), tmp_path)
    (wheel,) = (file.name for file in (published_site / "notebooks").glob("*.whl"))
    assert f"actlib[chapters] @ https://ada.github.io/curves/notebooks/{wheel}" in command


def test_unpublished_pages_lead_to_no_repository(site):
    for path in NOTEBOOKS:
        text = (site / "book" / f"{path.stem}.html").read_text(encoding="utf-8")
        page = bs4.BeautifulSoup(text, "html.parser")
        assert not page.select('.article-header-buttons a[href^="http"]')
        assert not page.find("link", rel="canonical")
        assert page.select('.article-header-buttons a[href^="../notebooks/"]')


def test_introduction_names_a_repository_where_there_is_one(site, published_site):
    unpublished, published = ((s / "book" / "intro.html").read_text(encoding="utf-8") for s in (site, published_site))
    for words in ("The rocket at the top of a chapter", "In a clone of the repository"):
        assert words in published
        assert words not in unpublished


def test_every_page_names_the_licence(site):
    for path in (*NOTEBOOKS, pathlib.Path("intro"), pathlib.Path("glossary")):
        page = bs4.BeautifulSoup((site / "book" / f"{path.stem}.html").read_text(encoding="utf-8"), "html.parser")
        assert (
            "Code under the MIT license, text and figures under CC BY 4.0."
            in page.select_one("footer .extra_footer").text
        )


@pytest.mark.parametrize(
    ("environment", "option", "expected"),
    [
        ({}, "", ""),
        ({"GITHUB_REPOSITORY": "a/b"}, "", "https://github.com/a/b"),
        (
            {"GITHUB_REPOSITORY": "a/b", "GITHUB_SERVER_URL": "https://git.example.org"},
            "",
            "https://git.example.org/a/b",
        ),
        ({"GITHUB_REPOSITORY": "a/b"}, "https://github.com/c/d.git", "https://github.com/c/d"),
    ],
)
def test_repository_is_named_by_the_configuration_or_the_workflow(monkeypatch, environment, option, expected):
    for name in ("GITHUB_REPOSITORY", "GITHUB_SERVER_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert addresses.repository({"repository_url": option}) == expected


@pytest.mark.parametrize(
    ("repository", "pages"),
    [
        ("https://github.com/Ada/curves", "https://ada.github.io/curves/"),
        ("https://github.com/Ada/Ada.github.io", "https://ada.github.io/"),
        ("https://git.example.org/a/b", ""),
        ("", ""),
    ],
)
def test_pages_are_where_github_puts_them(repository, pages):
    assert addresses.pages(repository) == pages


def test_workflow_puts_the_notebooks_on_their_branch(site, tmp_path):
    """The workflow's own script, with the artifact of the pages and a repository of this machine."""
    import plain as extension

    workflows = ROOT / ".github" / "workflows"
    workflow = yaml.safe_load((workflows / "notebooks.yml").read_text(encoding="utf-8"))
    trigger = workflow[True]["workflow_run"]  # YAML takes `on` for a truth value
    assert trigger["workflows"] == [yaml.safe_load((workflows / "book.yml").read_text(encoding="utf-8"))["name"]]
    script = workflow["jobs"]["push"]["steps"][-1]["run"]
    remote = tmp_path / "remote.git"
    subprocess.run(["git", "init", "--quiet", "--bare", str(remote)], check=True)
    with tarfile.open(tmp_path / "artifact.tar", "w") as archive:
        archive.add(site / "notebooks", "./notebooks")
    environment = {**os.environ, "REMOTE": str(remote), "SOURCE": "abc"}
    subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, env=environment, check=True)
    listed = subprocess.run(
        ["git", "ls-tree", "-r", "--name-only", extension.BRANCH],
        cwd=remote,
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    pushed = set(listed.stdout.split())
    assert pushed == {
        p.relative_to(site / "notebooks").as_posix() for p in (site / "notebooks").rglob("*") if p.is_file()
    }
