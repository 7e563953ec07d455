# `make demo` predicts a real plan; `make test` runs the tests; `make check` is what CI runs.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo study test check lint types clean

demo: $(VENV)/core.stamp
	$(BIN)/simulate plans/gpt-175b-512gpu.toml

# Data parallelism over graphs and links: study.csv and study.svg.
study: $(VENV)/core.stamp
	$(BIN)/simulate scale plans/scaling-*.toml --weak \
	  --over cluster.nodes=1,8,16,64 \
	  --over cluster.network.topology=ring,wheel,random \
	  --over synchronization.ring_order=auto,rank \
	  --over cluster.network.link=ethernet-1,ethernet-10,ethernet-100,infiniband-fdr,infiniband-hdr \
	  --csv study.csv --plot study.svg

test: $(VENV)/dev.stamp
	$(BIN)/pytest -n 2 --dist loadgroup $(PYTEST_ARGS)
	$(BIN)/pytest --nbmake --nbmake-timeout=120 -p no:xdist notebooks

check: lint types test

lint: $(VENV)/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/dev.stamp
	$(BIN)/mypy

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/core.stamp: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/dev.stamp: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@ $(VENV)/core.stamp

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
