# Each command makes .venv from requirements.txt first, once.
PYTHON ?= python3
BIN := .venv/bin
BOOK := book
WORKERS ?= auto
export MPLBACKEND := agg

.PHONY: book pdf lab test notebooks bench requirements clean

book: .venv/.installed
	$(BIN)/jupyter-book build . -W -n --keep-going
	@echo "The book: $(CURDIR)/_build/html/index.html"

pdf: book
	$(BIN)/python book/_ext/pdf.py _build/html

# JupyterLab on the chapters, with what MyST adds to Markdown rendered. It shows figures of trusted notebooks alone.
lab: .venv/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .[lab]
	$(BIN)/jupyter trust $(BOOK)/*.ipynb
	$(BIN)/jupyter lab $(BOOK)

test: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder --nbval

notebooks: .venv/.installed
	$(BIN)/python -c "$$EXECUTE"

# Outputs are stored, but nothing that differs from run to run or from machine to machine.
define EXECUTE
import nbclient, nbformat, pathlib
for path in sorted(pathlib.Path("$(BOOK)").glob("*.ipynb")):
    notebook = nbformat.read(path, nbformat.NO_CONVERT)
    metadata = dict(notebook.metadata)
    nbclient.execute(notebook, cwd=path.parent, timeout=None, record_timing=False, coalesce_streams=True)
    notebook.metadata = metadata
    nbformat.write(notebook, path)
    print(path)
endef
export EXECUTE

bench: .venv/.installed
	$(BIN)/python -m benchmarks

# For maintainers: pin every dependency again. torch brings the CUDA packages that fit it, so they are not pinned here.
requirements: .venv/.installed
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --extra test --universal --no-annotate --upgrade \
	    --custom-compile-command "make requirements" --output-file requirements.txt \
	    $(foreach package,$(CUDA),--no-emit-package $(package))
CUDA := cuda-bindings cuda-pathfinder cuda-toolkit nvidia-cublas nvidia-cuda-cupti nvidia-cuda-nvrtc \
    nvidia-cuda-runtime nvidia-cudnn-cu13 nvidia-cufft nvidia-cufile nvidia-curand nvidia-cusolver nvidia-cusparse \
    nvidia-cusparselt-cu13 nvidia-nccl-cu13 nvidia-nvjitlink nvidia-nvshmem-cu13 nvidia-nvtx

clean:
	rm -rf .venv _build .pytest_cache .ruff_cache actlib.egg-info

.venv/.installed: requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "actlib needs Python 3.11 or newer; name one: make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@
