"""What a test run takes for an error: warnings of our own making, not what torch tells itself."""

import subprocess
import sys

from conftest import ROOT

PROGRAM = '''
import types, warnings
import numpy as np
import pytest

def module(name, source):
    made = types.ModuleType(name)
    exec(source, made.__dict__)
    return made

SAYS = """
import warnings
def say(category, words, stacklevel): inner(category, words, stacklevel)
def inner(category, words, stacklevel): warnings.warn(words, category, stacklevel=stacklevel)
"""
says = {name: module(f"{name}.inner", SAYS).say for name in ("torch", "triton", "matplotlib", "another")}
callers = {
    "itself": lambda name: module(f"{name}.outer", "def call(f, *arguments): f(*arguments)").call,
    "us": lambda name: lambda f, *arguments: f(*arguments),
}

@pytest.mark.parametrize("to", callers)
@pytest.mark.parametrize("stacklevel", [1, 3])
@pytest.mark.parametrize("words", ["f is deprecated", "f is slow"])
@pytest.mark.parametrize("category", [DeprecationWarning, PendingDeprecationWarning, FutureWarning, UserWarning])
@pytest.mark.parametrize("name", says)
def test_warnings(name, category, words, stacklevel, to):
    call = lambda: callers[to](name)(says[name], category, words, stacklevel)
    if name != "another" and to == "itself" and (category is not UserWarning or "deprecated" in words):
        call()
    else:
        with pytest.raises(category, match=words):
            call()

def test_a_warning_of_c_code_is_about_its_caller():
    with pytest.raises(RuntimeWarning):
        np.log(np.array([-1.0]))
'''


def test_only_what_libraries_tell_themselves_passes(tmp_path):
    (tmp_path / "conftest.py").write_text(
        (ROOT / "tests" / "conftest.py").read_text(encoding="utf-8"), encoding="utf-8"
    )
    (tmp_path / "test_program.py").write_text(PROGRAM, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-c", ROOT / "pyproject.toml", f"--rootdir={tmp_path}", tmp_path]
    run = subprocess.run(
        [*command, "-p", "no:cacheprovider"], capture_output=True, encoding="utf-8", check=False, timeout=300
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "129 passed" in run.stdout
