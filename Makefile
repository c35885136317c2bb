# Two commands for people: `make demo` and `make test`. Both set up .venv first; Python and make are all they need.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CODE := collectivelint rules runtime tests examples benchmarks docs setup.py
# Side by side: many tests wait, for jobs that wait.
PYTEST := $(BIN)/pytest --numprocesses 4 --dist worksteal
# One thread for each rank: the example jobs run several ranks on few cores.
export OMP_NUM_THREADS ?= 1

.PHONY: demo test messages test-all lint type bench-catalog bench-trace bench-watch bench-divergence bench-scale bench-tables bench-audit bench-lint soak test-matrix test-layouts test-engine bench-stores docs pictures dist vscode clean

demo: $(VENV)/.installed  ## Lint and fix the example, then trace the real torchrun checkpoint job
	@PATH="$(abspath $(BIN)):$$PATH" sh examples/demo.sh

test: $(VENV)/.installed  ## Run the tests
	$(PYTEST)

test-all: $(VENV)/.installed  ## Run the slow tests too: more real jobs and generated programs of the same kinds
	$(PYTEST) -m "slow or not slow" --hypothesis-profile all

lint: $(VENV)/.installed  ## Check style
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)

type: $(VENV)/.installed  ## Check types; on an installed copy, since rules/ and runtime/ are mapped into the package
	rm -rf .typed && $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --target .typed .
	cd .typed && "$(abspath $(BIN))/mypy" --config-file "$(CURDIR)/pyproject.toml" -p collectivelint

bench-trace: $(VENV)/.installed  ## Measure what the tracer adds to a call
	$(BIN)/python benchmarks/trace_overhead.py

bench-watch: $(VENV)/.installed  ## Measure what it costs to watch a job with many streams and signatures
	$(BIN)/python benchmarks/watch_cost.py

bench-divergence: $(VENV)/.installed  ## Ask torch and the tracer about jobs that diverge (an hour)
	$(BIN)/python benchmarks/divergence.py

bench-scale: $(VENV)/.installed  ## Measure the checker with 10,000 ranks
	$(BIN)/python benchmarks/scale.py

bench-tables: $(VENV)/.installed  ## Measure tables, their analysis and Perfetto's format (RANKS=100 CALLS=100000)
	$(BIN)/python benchmarks/tables.py --ranks $(or $(RANKS),100) --calls $(or $(CALLS),100000)

bench-audit: $(VENV)/.installed  ## Break checkpoints and ask torch and the auditor; measure what looking costs
	$(BIN)/python benchmarks/audit.py

test-engine: $(VENV)/.installed  ## Checkpoints verified and tables computed by Spark (installs pyspark, 400 MB; needs Java 17)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[report,spark]'
	$(BIN)/pytest -m slow --durations=0 tests/runtime/checkpoint/test_engine.py tests/runtime/test_analysis.py

bench-stores: $(VENV)/.installed  ## Measure verifying in a store (MEGABYTES=512), and by Spark where that is installed
	$(BIN)/python benchmarks/stores.py

test-matrix: $(VENV)/.installed  ## Real jobs with several versions of torch, each newly installed (VERSIONS="2.9.* 2.14.*"; gigabytes, minutes each)
	$(BIN)/python benchmarks/torch_matrix.py $(VERSIONS)

test-layouts: $(VENV)/.installed  ## Checkpoints of DeepSpeed, Lightning, Megatron and others, made by their libraries, whole and damaged (gigabytes; LAYOUTS_PYTHON=an environment that has them)
	$(BIN)/python benchmarks/checkpoint_layouts.py $(if $(LAYOUTS_PYTHON),--python "$(LAYOUTS_PYTHON)") $(KINDS)

soak: $(VENV)/.installed  ## A correct job under the tracer for SECONDS (120)
	$(BIN)/python benchmarks/soak.py $(SECONDS)

bench-lint: $(VENV)/.installed  ## Measure the linter beside its peers: make bench-lint TREES=folder
	$(BIN)/python benchmarks/lint_speed.py "$(TREES)"

bench-catalog: $(VENV)/.installed  ## Which share of the functions of frameworks that run collectives is known (FRAMEWORKS=folder of unpacked packages)
	$(BIN)/python benchmarks/catalog_share.py "$(FRAMEWORKS)"

messages: $(VENV)/.installed  ## Print every message of the rules with an example, for review
	$(BIN)/python benchmarks/messages.py

ecosystem: $(VENV)/.installed  ## Lint public repositories and compare with the accepted findings (REPOSITORIES=folder of clones)
	PYTHONPATH=benchmarks $(BIN)/python -m ecosystem $(if $(REPOSITORIES),--repositories "$(REPOSITORIES)")

docs: $(VENV)/.docs  ## Build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

pictures: $(VENV)/.installed  ## Make the pictures of the README and the guides, from real runs (needs Chromium; a minute)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt pillow
	$(BIN)/python benchmarks/pictures.py

dist: $(VENV)/.installed  ## Build the source distribution, the wheel that runs everywhere, and the compiled one for this platform
	$(BIN)/python -m build
	COLLECTIVELINT_COMPILE=1 PIP_CONSTRAINT="$(abspath constraints.txt)" $(BIN)/python -m build

vscode:  ## Build the VS Code extension into editors/vscode (needs Node 20 and npm)
	cd editors/vscode && npm ci --no-audit --no-fund && npx vsce package --allow-missing-repository

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[runtime,dev]'
	touch $@

$(VENV)/.docs: $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt 'mkdocs-material>=9.5'
	touch $@

clean:  ## Remove everything that was built
	rm -rf .venv .demo .typed build dist site editors/vscode/node_modules editors/vscode/*.vsix *.egg-info .mypy_cache .pytest_cache .ruff_cache
