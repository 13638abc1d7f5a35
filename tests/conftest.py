"""Set before anything else is imported: kernels run in Triton's interpreter where there is no GPU."""

import collections
import functools
import http.server
import importlib.resources
import importlib.util
import os
import pathlib
import subprocess
import sys
import threading
import warnings

import filelock
import numpy as np
import pytest
import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

ROOT = pathlib.Path(__file__).parents[1]


def need(condition: object, what: str) -> None:
    """Skips a test for which something is missing here, and says what; on CI, where nothing may be, it fails."""
    if not condition:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"{LEFT_OUT}{what}")


LEFT_OUT = "cannot run here: "


on_linux = pytest.mark.skipif(sys.platform != "linux", reason="of Linux alone")


def pytest_collection_modifyitems(items):
    """What runs kernels is marked."""
    for item in items:
        if "by_kernel" in getattr(item, "fixturenames", ()):
            item.add_marker("gpu")


def pytest_report_header(config):
    """Which browser the tests use, if it is known before them."""
    if importlib.util.find_spec("playwright") is None:
        return None  # as where the package alone is tested
    what = browser_here()
    config.stash[FETCHES] = what is None
    return f"browser: {what or 'none is here: the first test of a page fetches one'}"


@pytest.hookimpl(tryfirst=True)
def pytest_terminal_summary(terminalreporter, config):
    """Which browser was fetched; what was left out, why, and what helps, each once."""
    left_out = collections.defaultdict(collections.Counter)
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
        if reason.startswith(f"Skipped: {LEFT_OUT}"):
            file = report.nodeid.partition("::")[0]
            left_out[reason.removeprefix(f"Skipped: {LEFT_OUT}")][file] += 1
            report.longrepr = (file, None, reason.partition("; ")[0])  # one line a file, below
    if left_out:
        terminalreporter.section("tests left out")
    for reason, files in left_out.items():
        places = ", ".join(f"{count} of {file}" for file, count in files.items())
        terminalreporter.write_line(f"{places}: {reason}")
    if config.stash.get(FETCHES, False) and (what := browser_here()):
        terminalreporter.write_line(f"browser, fetched for these tests and kept for others: {what}")


FETCHES = pytest.StashKey[bool]()


def browser_here() -> str | None:
    """What the browser is that starts here, without anything fetched."""
    import browsers

    with browsers.sync_playwright() as playwright:
        found = browsers.Opener(playwright.chromium).here()
        if found:
            found[0].close()
    return found and found[1]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call():
    """A test of what torch compiles needs a C++ compiler; torch says so when it has looked for one in vain."""
    try:
        return (yield)
    except Exception as error:
        need(
            "InvalidCxxCompiler" not in f"{type(error)} {error}",
            "torch finds no C++ compiler; install g++ (Linux), Apple's command line tools, or Visual Studio's build "
            "tools (from whose prompt the tests are then to be started); or name one in the environment variable CXX",
        )
        raise


@pytest.fixture(autouse=True)
def same_on_every_run():
    torch.manual_seed(0)
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def warnings_are_about_the_caller(monkeypatch):
    """A warning that names no module is taken to be about the one that called what warns.

    So what torch tells itself, which pyproject.toml lets pass, is told from what it tells us.
    """
    plain = warnings.warn

    def warn(message, category=None, stacklevel=1, *arguments, **options):
        if stacklevel == 1:
            frame = sys._getframe(1)
            warner = frame.f_globals.get("__name__")
            while frame and frame.f_globals.get("__name__") == warner:
                frame, stacklevel = frame.f_back, stacklevel + 1
        plain(message, category, stacklevel + 1, *arguments, **options)

    monkeypatch.setattr(warnings, "warn", warn)


@pytest.fixture
def by_kernel(monkeypatch):
    """Calls a function with everything run by the kernels, on whatever device."""
    from actlib import elementwise  # after the interpreter is asked for
    from actlib.backends import calls

    if sys.platform != "linux":
        pytest.skip("Triton is made for Linux")

    def call(function, *arguments):
        # The interpreter computes in NumPy, which would warn of what is meant to overflow.
        with monkeypatch.context() as patch, np.errstate(all="ignore"):
            patch.setattr(elementwise, "runs_kernels", lambda _: True)
            patch.setitem(calls._NAMES, "UNHEARD", frozenset())  # nothing goes straight to machine code
            return function(*arguments)

    return call


@pytest.fixture
def in_float32(monkeypatch):
    """Kernels compute results in float32 in it, as on GPUs that are slow in float64."""
    _compute_in_double(monkeypatch, False)


@pytest.fixture
def in_double(monkeypatch):
    """Kernels compute in float64 where results in float32 need it, as on GPUs that are as fast in it."""
    _compute_in_double(monkeypatch, True)


def _compute_in_double(monkeypatch, double):
    from actlib.backends import softmax_kernels, triton_runner  # after the interpreter is asked for

    for module in (softmax_kernels, triton_runner):
        monkeypatch.setattr(module, "computes_in_double", lambda _: double)


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The built book, from the stored outputs, with every warning an error; the workers of a run share one."""
    return _shared(tmp_path_factory, "site")


@pytest.fixture(scope="session")
def published_site(tmp_path_factory):
    """The same, built by a workflow of GitHub."""
    return _shared(
        tmp_path_factory, "published", GITHUB_REPOSITORY="Ada/curves", GITHUB_SERVER_URL="https://github.com"
    )


def _shared(tmp_path_factory, name, **address):
    temporary = tmp_path_factory.getbasetemp()
    out = (temporary.parent if "PYTEST_XDIST_WORKER" in os.environ else temporary) / name
    with filelock.FileLock(f"{out}.lock"):
        if not (out / "built").exists():
            _build(out, **address)
            (out / "built").touch()
    return out / "_build" / "html"


def _build(out, **address):
    """Builds the book; where it is published, it knows from nothing but the arguments."""
    about = ("GITHUB_REPOSITORY", "GITHUB_SERVER_URL", "SITE_URL")
    environment = {name: value for name, value in os.environ.items() if name not in about} | address
    command = [
        str(pathlib.Path(sys.executable).with_name("jupyter-book")),  # .exe, on Windows, goes without saying
        "build",
        ".",
        "--path-output",
        str(out),
        "-W",
        "-n",
        "--keep-going",
    ]
    # Sphinx and its extensions read and say more than Latin letters.
    environment |= {"PYTHONUTF8": "1"}
    run = subprocess.run(command, capture_output=True, encoding="utf-8", check=False, cwd=ROOT, env=environment)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.fixture(scope="session")
def address(site):
    """The book, served to this machine alone."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        # Python would ask the machine, and Windows may say that scripts are plain text, which browsers do not run.
        extensions_map = http.server.SimpleHTTPRequestHandler.extensions_map | {
            ".js": "text/javascript",
            ".mjs": "text/javascript",
            ".wasm": "application/wasm",
        }

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="session")
def browser():
    """A browser, driven by Playwright."""
    import browsers

    with browsers.sync_playwright() as playwright:
        try:
            browser, _ = browsers.Opener(playwright.chromium).open()
        except browsers.NoBrowserError as error:
            need(False, str(error))
        yield browser
        browser.close()


class Visit:
    """A page opened in the browser, with everything that went wrong on it."""

    def __init__(self, browser, url, **options):
        self.trouble, self.foreign = [], []
        self.page = browser.new_page(**options)
        self.page.on("console", lambda m: self.trouble.append(m.text) if m.type == "error" else None)
        self.page.on("pageerror", lambda e: self.trouble.append(str(e)))
        self.page.on("requestfailed", self.failed)
        self.page.on("response", lambda r: self.trouble.append(f"{r.status}: {r.url}") if r.status >= 400 else None)
        self.page.on("request", lambda r: None if r.url.startswith((url[:20], "data:")) else self.foreign.append(r.url))
        self.page.goto(url, wait_until="networkidle")
        self.page.evaluate("async () => { if (window.MathJax?.startup) await MathJax.startup.promise }")

    def failed(self, request):
        if request.failure != "net::ERR_ABORTED":  # as when a reader goes on before all is there
            self.trouble.append(f"failed: {request.url}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.page.close()


def barriers(page, within="html"):
    """What axe-core finds serious or critical in a part of a page, in light and dark, with everything unfolded."""
    page.evaluate((importlib.resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8"))
    return page.evaluate(
        """async (within) => {
            document.head.append(Object.assign(document.createElement('style'), {
                textContent: '* { transition: none !important; animation: none !important }'
            }));
            document.documentElement.dataset.theme = 'light';
            document.querySelectorAll('.toggle-button').forEach((e) => e.click());
            const told = [...document.querySelectorAll('details:not([open])')].map((e) => {
                e.open = true;
                return new Promise((done) => e.addEventListener('toggle', done, {once: true}));
            });
            await Promise.all(told);
            await new Promise((done) => setTimeout(done, 600));  // the theme answers after 300
            // What formulas and figures are made of is many thousand elements, and nothing that axe would judge; nor
            // does it take what stands elsewhere.
            document.querySelectorAll('mjx-container *, .act-figure svg *').forEach((e) => e.remove());
            const parts = [...document.querySelectorAll(within)];
            for (const element of document.querySelectorAll('body *')) {
                if (!parts.some((part) => part.contains(element) || element.contains(part))) element.remove();
            }
            // Words that look the same, on the same ground, are as legible as each other: three of each are enough.
            const looks = (element) => {
                const {color, fontSize, fontWeight, textShadow} = getComputedStyle(element);
                const look = [color, fontSize, fontWeight, textShadow];
                for (let at = element, ground = false; at; at = at.parentElement) {
                    const {opacity, filter, backgroundColor, backgroundImage} = getComputedStyle(at);
                    look.push(opacity, filter);
                    if (!ground) look.push(backgroundColor, backgroundImage);
                    ground ||= backgroundColor.startsWith('rgb(');
                }
                return look.filter((part) => !['none', '1', 'rgba(0, 0, 0, 0)'].includes(part)).join();
            };
            const alike = (elements, key) => {
                const found = {};
                elements.forEach((element) => (found[key(element)] ??= []).push(element));
                return Object.values(found);
            };
            const inCode = [...document.querySelectorAll('pre span[class]')];
            alike(inCode, (word) => word.className + looks(word))
                .flatMap((words) => words.slice(3))
                .forEach((word) => word.replaceWith(...word.childNodes));
            const read = (part) => {
                const all = document.createTreeWalker(part, NodeFilter.SHOW_TEXT);
                const found = [];
                while (all.nextNode()) if (all.currentNode.data.trim()) found.push(all.currentNode.parentElement);
                return found.filter((element) => element.checkVisibility());
            };
            const usual = {preload: false, resultTypes: ['violations']};
            const run = (include, options) => axe.run({include}, {...usual, ...options});
            const legible = () => {
                const fields = parts.flatMap((part) => [...part.querySelectorAll('input, select, textarea')]);
                const ofEach = alike(parts.flatMap(read), looks).flatMap((a) => [a[0], a[a.length >> 1], a.at(-1)]);
                return run([...new Set([...ofEach, ...fields])], {runOnly: ['color-contrast']});
            };
            const light = await legible();
            document.documentElement.dataset.theme = 'dark';
            const dark = await legible();
            const rest = await run(parts, {rules: {'color-contrast': {enabled: false}}});
            return [...rest.violations, ...light.violations, ...dark.violations]
                .filter((v) => ['serious', 'critical'].includes(v.impact))
                .map((v) => [v.id, v.nodes.length, v.nodes[0].html.slice(0, 200), v.nodes[0].failureSummary]);
        }""",
        within,
    )
