# Each target works alone on a fresh machine: it makes .venv, installs what it needs, runs.
# ARGS goes to the program: make test ARGS="-k pooling --cov"

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

DATA := $(abspath $(wildcard ../shared/data/scikit_learn_data))
ifneq ($(DATA),)
demo bench: export SCIKIT_LEARN_DATA ?= $(DATA)
endif

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench clean
.NOTPARALLEL:  # two installs into one .venv would collide

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*  ## /\1\t/p' $(MAKEFILE_LIST)

demo: $(VENV)/.demo  ## 20 Newsgroups: accuracy and seconds next to TF-IDF
	$(BIN)/python -m benchmarks.demo $(ARGS)

test: $(VENV)/.dev  ## tests and doctests
	$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/.dev  ## style, types, import contracts, docstrings against signatures
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/numpydoc lint $$(find sklearn_transfer -name '*.py')

bench: $(VENV)/.bench  ## the benchmarks, rivals included
	$(BIN)/python -m benchmarks $(ARGS)

clean:  ## remove .venv and everything that a tool left behind
	rm -rf $(VENV) build dist htmlcov .coverage .hypothesis .import_linter_cache \
		.mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One stamp a set of extras, in one .venv.
$(VENV)/.demo: EXTRAS := glove,plot
$(VENV)/.dev: EXTRAS := contextual,dev,glove,plot,static
$(VENV)/.bench: EXTRAS := bench

$(VENV)/.demo $(VENV)/.dev $(VENV)/.bench: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
