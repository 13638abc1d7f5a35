"""Links from the reference to the documentation of others, without asking other hosts when the book is built.

sphinx.ext.intersphinx reads inventories, which say where a name is described. These hold the names that occur in
signatures here, and are written when the book is built; a name that is missing is told by a warning, which fails it.
"""

import pathlib
import zlib

INVENTORIES = {
    ("PyTorch", "https://docs.pytorch.org/docs/stable/"): {
        "torch.Tensor": "tensors.html#torch.Tensor",
        "torch.device": "tensor_attributes.html#torch.device",
        "torch.dtype": "tensor_attributes.html#torch.dtype",
        "torch.nn.modules.module.Module": "generated/torch.nn.Module.html#torch.nn.Module",
    },
    ("NumPy", "https://numpy.org/doc/stable/"): {
        "numpy.dtype": "reference/generated/numpy.dtype.html#numpy.dtype",
        "numpy.ndarray": "reference/generated/numpy.ndarray.html#numpy.ndarray",
    },
    ("SymPy", "https://docs.sympy.org/latest/"): {
        "sympy.core.expr.Expr": "modules/core.html#sympy.core.expr.Expr",
        "sympy.core.symbol.Symbol": "modules/core.html#sympy.core.symbol.Symbol",
    },
    ("Python", "https://docs.python.org/3/"): {
        f"collections.abc.{name}": f"library/collections.abc.html#collections.abc.{name}"
        for name in ("Callable", "Mapping", "Sequence")
    },
}
"""For each project and the address of its documentation: where in it a class is described."""


def inventory(project: str, classes: dict[str, str]) -> bytes:
    """The file in which Sphinx looks a name up."""
    head = f"# Sphinx inventory version 2\n# Project: {project}\n# Version: \n# Compressed by zlib:\n"
    return head.encode() + zlib.compress(
        "".join(f"{name} py:class 1 {at} -\n" for name, at in classes.items()).encode()
    )


def write(app, config) -> None:
    """Write the inventories and tell intersphinx of them."""
    folder = pathlib.Path(app.outdir).parent / "inventories"
    folder.mkdir(parents=True, exist_ok=True)
    for (project, address), classes in INVENTORIES.items():
        file = folder / f"{project}.inv"
        file.write_bytes(inventory(project, classes))
        config.intersphinx_mapping[project] = (address, str(file))


def setup(app):
    """Before intersphinx reads its settings."""
    app.setup_extension("sphinx.ext.intersphinx")
    app.connect("config-inited", write, priority=100)
    return {"parallel_read_safe": True}
