# Every target sets up what it needs in .venv: a Python of 3.11 or newer and make are enough.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input --quiet
# The verifier comes second: an older installation of the main distribution has its program, and removes it.
INSTALL := $(PIP) install --no-deps --no-build-isolation --editable
RUNTIME := $(VENV)/.runtime-installed
DEVELOPMENT := $(VENV)/.development-installed
SCRIPTS = $(wildcard benchmarks/*.py tools/*.py examples/*.py spec/*.py prover/kernel/*.py verifier/*.py)
export KERNEL ?= yes
SIZE ?= full
METADATA = pyproject.toml verifier/pyproject.toml circuits/crossmargin_circuits/version.py
LOCK = build/lock/bin/uv pip compile pyproject.toml --python-version 3.11 --universal --generate-hashes \
	--no-annotate --no-header --quiet --no-emit-package crossmargin-verifier --extra plots $(UPGRADE)

.NOTPARALLEL:
.DEFAULT_GOAL := help
.PHONY: help venv kernel demo test lint bench margins plots docs campaigns wheel lock clean distclean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

venv: $(DEVELOPMENT) ## set up .venv with everything that running, tests and lint need

kernel: $(RUNTIME) ## build the compiled kernel and install it, where there is a Rust tool chain; KERNEL=no leaves it out
	@$(BIN)/python prover/kernel/build.py install $(KERNEL)

demo: $(RUNTIME) kernel ## the whole way on the example book; writes build/demo
	$(BIN)/crossmargin demo --out build/demo

test: $(DEVELOPMENT) kernel ## run the tests (some minutes)
	$(BIN)/python -m pytest -q -n 2 --dist worksteal

lint: $(DEVELOPMENT) kernel ## check style, types, import contracts and the links of the docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy $(SCRIPTS)
	$(BIN)/lint-imports --no-logo
ifneq ($(KERNEL),no)
	$(BIN)/python prover/kernel/build.py lint
endif
	$(BIN)/python tools/check_links.py

bench: $(DEVELOPMENT) kernel ## measure every stage and write docs/benchmarks.md; SIZE=targets: what the targets need
	$(BIN)/python -m benchmarks.run --size $(SIZE)

margins: $(DEVELOPMENT) ## measure the margin core on a million accounts (a minute or two)
	$(BIN)/python -m benchmarks.margin

plots: $(DEVELOPMENT) ## write docs/benchmarks.md and its plots again from the figures beside them
	$(BIN)/python -m benchmarks.render docs/plots/figures.json docs

docs: $(DEVELOPMENT) ## write docs/api again from the docstrings of the public names
	$(BIN)/python -m tools.api_pages

campaigns: $(DEVELOPMENT) kernel ## the slow tests, and every property with many more examples (an hour or more)
	$(BIN)/python -m pytest -q -n 2 --dist worksteal -m "slow or not slow" --hypothesis-profile slow --timeout 3600

wheel: $(RUNTIME) ## build the wheels, and that of the kernel where there is a Rust tool chain, into build/dist
	cd verifier && ../$(BIN)/python -m hatchling build -d ../build/dist
	$(BIN)/python -m hatchling build -t wheel -d build/dist
	$(BIN)/python prover/kernel/build.py wheel $(KERNEL)

lock: ## compile the two lock files again; UPGRADE=--upgrade takes newer versions
	$(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip --disable-pip-version-check --quiet install 'uv>=0.9,<1'
	$(LOCK) --group build --output-file requirements.lock
	$(LOCK) --group dev --constraint requirements.lock --output-file requirements-dev.lock
	@! grep -nE '://|^ *-' requirements.lock requirements-dev.lock | grep -v -- '--hash=' \
		|| { echo 'a lock file names a host or an option' >&2; exit 1; }

clean: ## remove what was built and the caches; keeps .venv
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find circuits crossmargin prover verifier tests examples tools spec docs benchmarks -name __pycache__ -prune \
		-exec rm -rf {} + 2>/dev/null || true

distclean: clean ## clean, and remove .venv
	rm -rf $(VENV)

$(VENV)/pyvenv.cfg:
	@'$(PYTHON)' -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo 'crossmargin needs Python 3.11 or newer; name it: make PYTHON=/path/to/python3' >&2; exit 1; }
	'$(PYTHON)' -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# Both lock files hold the build backend, so the project's own distributions are installed without another download.
$(RUNTIME): requirements.lock $(METADATA) | $(VENV)/pyvenv.cfg
	@echo 'Setting up $(VENV) from requirements.lock'
	$(PIP) install --require-hashes -r requirements.lock
	$(INSTALL) .
	$(INSTALL) ./verifier
	@touch $@

$(DEVELOPMENT): requirements-dev.lock $(METADATA) | $(VENV)/pyvenv.cfg
	@echo 'Setting up $(VENV) from requirements-dev.lock'
	$(PIP) install --require-hashes -r requirements-dev.lock
	$(INSTALL) .
	$(INSTALL) ./verifier
	@touch $@ $(RUNTIME)
