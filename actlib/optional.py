"""The packages that actlib can do without: kernels are made with them, and exact references.

Each may be missing, too old, or broken: a shared library is not found, or does not serve this processor. Whatever it
is, it is said once, with what came, what is expected and how to get it.
"""

import functools
import importlib
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType


@dataclass(frozen=True)
class Optional:
    """A package that actlib can do without.

    Attributes:
        name: What installers call it.
        module: What Python calls it.
        minimum: The lowest version that serves.
        instead: What actlib does without it, in words for a warning.
    """

    name: str
    module: str
    minimum: str
    instead: str

    def load(self, user: str) -> ModuleType | None:
        """A module of actlib that needs the package; None, said once in a warning, where the package does not serve.

        Args:
            user: Name of the module. If it has a function `check`, this must pass.
        """
        module, trouble = _load(self, user)
        if trouble and self not in _SAID:
            _SAID.add(self)  # before the warning, which may be an error
            warnings.warn(f"actlib {self.instead}, since {trouble}; {self._expected}", stacklevel=2)
        return module

    def require(self, user: str, what: str) -> ModuleType:
        """A module of actlib that needs the package.

        Args:
            user: Name of the module.
            what: What cannot do without it, in words.

        Raises:
            ImportError: The package does not serve.
        """
        module, trouble = _load(self, user)
        if module is None:
            raise ImportError(
                f"{what} cannot do without {self.name}, but {trouble}; {self._expected}", name=self.module
            )
        return module

    @property
    def _expected(self) -> str:
        wanted = f"{self.name}>={self.minimum}"
        return f'{self.name} {self.minimum} or newer is expected: python -m pip install "{wanted}"'


LLVMLITE = Optional("llvmlite", "llvmlite", "0.45", "computes on the CPU by torch operations, which take longer")
TRITON = Optional("triton", "triton", "3.3", "computes on GPUs by torch operations, which take longer")
FLINT = Optional("python-flint", "flint", "0.7", "has no exact references")

_SAID: set[Optional] = set()


@functools.cache
def _load(package: Optional, user: str) -> tuple[ModuleType | None, str]:
    """A module and no words; or none, and what keeps it from being used, in words."""
    try:
        version = importlib.import_module(package.module).__version__
    except Exception as error:  # a broken package may raise anything
        if isinstance(error, ModuleNotFoundError) and error.name == package.module:
            return None, f"{package.name} is not installed"
        return None, f"the import of {package.name} failed ({_said_by(error)})"
    if _numbers(version) < _numbers(package.minimum):
        return None, f"{package.name} {version} came"
    try:
        module = importlib.import_module(user)
        check: Callable[[], None] = getattr(module, "check", lambda: None)
        check()
    except Exception as error:
        return None, f"{package.name} {version} does not work on this machine ({_said_by(error)})"
    return module, ""


def _numbers(version: str) -> tuple[int, ...]:
    """The numbers that a version begins with: 3.2.0+git1 has (3, 2, 0)."""
    return tuple(map(int, re.match(r"\d+(?:\.\d+)*", version)[0].split(".")))


def _said_by(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
