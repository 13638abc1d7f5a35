"""Machine code kept on disk: to compile a kernel takes some forty milliseconds, to read it two.

It lies beside what torch keeps, in a folder `actlib`; the environment variable ACTLIB_CACHE names another one, or none
if it is empty. Who can write there decides what this process runs, as with the folders of torch's own compilers.
"""

import contextlib
import functools
import hashlib
import os
import pathlib
import tempfile
from collections.abc import Callable

import llvmlite
import llvmlite.binding as llvm
import torch

MOST = 1 << 28
"""Bytes. Beyond, the files that have gone longest without use are removed, until half is left."""

_DIGEST = hashlib.sha256().digest_size


def folder() -> pathlib.Path | None:
    """Where it is kept; None where it is not."""
    named = os.environ.get("ACTLIB_CACHE")
    if named is None:
        return pathlib.Path(torch.hub.get_dir()).parent / "actlib"
    return pathlib.Path(named) if named else None


def kept(key: tuple[str, ...], make: Callable[[], bytes]) -> bytes:
    """What was made for a key, in this process or in another; made now where it was not, or cannot be read.

    Args:
        key: All that it depends on, but for the versions of LLVM and its Python side.
        make: Makes it.
    """
    here = folder()
    if here is None:
        return make()
    file = here / f"{hashlib.sha256(repr((*key, llvmlite.__version__, llvm.llvm_version_info)).encode()).hexdigest()}.o"
    with contextlib.suppress(OSError):
        digest, code = (data := file.read_bytes())[:_DIGEST], data[_DIGEST:]
        if hashlib.sha256(code).digest() == digest:  # else the file was cut off, or belongs to something else
            with contextlib.suppress(OSError):
                os.utime(file)
            return code
    code = make()
    with contextlib.suppress(OSError):
        _write(file, hashlib.sha256(code).digest() + code)
        _swept(here)
    return code


def _write(file: pathlib.Path, data: bytes) -> None:
    """Writes a file, all of it or nothing: others may be reading."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=file.parent)
    try:
        with os.fdopen(handle, "wb") as part:
            part.write(data)
        os.replace(name, file)
    except OSError:
        os.unlink(name)
        raise


@functools.cache
def _swept(here: pathlib.Path) -> None:
    """Removes old files where there are too many, once a process."""
    found = [(entry.stat().st_mtime, entry.stat().st_size, entry.path) for entry in os.scandir(here)]
    total = sum(size for _, size, _ in found)
    if total <= MOST:
        return
    for _, size, path in sorted(found):
        with contextlib.suppress(OSError):
            os.unlink(path)
        total -= size
        if total <= MOST // 2:
            return
