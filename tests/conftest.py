"""Set before anything else is imported: kernels run in Triton's interpreter where there is no GPU."""

import os

import numpy as np
import pytest
import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")


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
