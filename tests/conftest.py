"""Set before anything else is imported: kernels run in Triton's interpreter where there is no GPU."""

import functools
import http.server
import importlib.resources
import os
import pathlib
import shutil
import subprocess
import sys
import threading

import filelock
import numpy as np
import pytest
import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

ROOT = pathlib.Path(__file__).parents[1]
CHROMIUM_FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--no-first-run"),
]


def need(condition: object, what: str) -> None:
    """Skips a test that this machine cannot run, and says why; on CI, where nothing may be skipped, it fails."""
    if not condition:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"cannot run here: {what}")


@pytest.fixture(autouse=True)
def same_on_every_run():
    torch.manual_seed(0)
    torch.set_num_threads(1)


@pytest.fixture
def by_kernel(monkeypatch):
    """Calls a function with everything run by the kernels, on whatever device."""
    from actlib import elementwise  # after the interpreter is asked for

    def call(function, *arguments):
        # The interpreter computes in NumPy, which would warn of what is meant to overflow.
        with monkeypatch.context() as patch, np.errstate(all="ignore"):
            patch.setattr(elementwise, "runs_kernels", lambda _: True)
            return function(*arguments)

    return call


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
        str(pathlib.Path(sys.executable).with_name("jupyter-book")),
        "build",
        ".",
        "--path-output",
        str(out),
        "-W",
        "-n",
        "--keep-going",
    ]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.fixture(scope="session")
def address(site):
    """The book, served to this machine alone."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
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
    """Chromium, driven by Playwright."""
    names = ("chromium", "chromium-browser", "google-chrome")
    executable = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    need(executable, "no Chromium is installed; name one in the environment variable CHROMIUM")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_FLAGS)
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


def barriers(page):
    """What axe-core finds serious or critical on a page, in light and dark, with everything unfolded."""
    page.evaluate((importlib.resources.files("axe_playwright_python") / "axe.min.js").read_text())
    return page.evaluate(
        """async () => {
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
            // What formulas and figures are made of is many thousand elements, and nothing that axe would judge; and of
            // the words in code, five of a colour are enough.
            document.querySelectorAll('mjx-container *, .act-figure svg *').forEach((e) => e.remove());
            const seen = {};
            for (const word of document.querySelectorAll('pre span[class]')) {
                seen[word.className] = (seen[word.className] ?? 0) + 1;
                if (seen[word.className] > 5) word.replaceWith(...word.childNodes);
            }
            const options = {preload: false, resultTypes: ['violations']};
            const light = await axe.run(options);
            document.documentElement.dataset.theme = 'dark';
            const dark = await axe.run({...options, runOnly: ['color-contrast']});
            return [...light.violations, ...dark.violations]
                .filter((v) => ['serious', 'critical'].includes(v.impact))
                .map((v) => [v.id, v.nodes.length, v.nodes[0].html.slice(0, 200), v.nodes[0].failureSummary]);
        }"""
    )
