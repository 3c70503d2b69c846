# make demo   install into .venv and run the main job
# make test   install into .venv and run every check

VENV ?= .venv
PYTHON ?= python3
OUT ?= runs/initial-values
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-slow bench bench-doctor lint clean

demo: $(READY)
	$(BIN)/orograph run --out $(OUT)

test: lint
	$(BIN)/pytest -n auto --maxprocesses 4 --dist worksteal

test-slow: $(READY)
	HYPOTHESIS_PROFILE=explore $(BIN)/pytest -n auto --maxprocesses 4 --dist worksteal
	$(BIN)/pytest -m slow --timeout=3600

lint: $(READY)
	$(BIN)/ruff check --no-cache .  # a cached answer outlives a new folder that changes what is first-party
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps "loss-landscapes==3.0.6"  # the peer
	for script in planes exactness training sampling memory startup connect temperature ensemble_module initialization monitor; do $(BIN)/python benchmarks/$$script.py || exit 1; done

bench-doctor: $(READY)  # planted faults, part by part: about an hour of two cores
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps "torchmortem==0.1.1"  # the peer
	$(BIN)/python benchmarks/doctor.py --half development --compare
	$(BIN)/python benchmarks/doctor.py --half held-out --compare
	$(BIN)/python benchmarks/doctor.py --half third --compare
	$(BIN)/python benchmarks/doctor.py --half fourth --compare
	$(BIN)/python benchmarks/doctor.py --half fifth --compare
	$(BIN)/python benchmarks/doctor.py --half sixth --compare
	$(BIN)/python benchmarks/doctor.py --half seventh --compare
	$(BIN)/python benchmarks/false_alarms.py

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

# Made anew when what to install changes; a failed install leaves no mark and is tried again.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else "orograph needs Python 3.11 to 3.13; name one with: make PYTHON=python3.12 …")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV); this takes a few minutes"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt "torch==2.13.0"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@
