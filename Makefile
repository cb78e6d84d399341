# Needs only make and Python 3.11 or newer; `make help` lists what it does.
#
# With the default PYTHON the environment is .venv, with another one it is
# .venv-X.Y after its version. An environment which another Python or another
# folder made is made anew, so nothing ever runs on the wrong one.

DEFAULT_PYTHON := python3
PYTHON ?= $(DEFAULT_PYTHON)
TESTS ?=
BENCH ?=
LOCK ?=
SOAK ?= 600
# Tests that run side by side, 0: one after another. Many of them mostly wait: with 3 it takes half as long.
JOBS ?= 0
UV := 0.13.9

MAKEFLAGS += --no-builtin-rules --no-print-directory
.SUFFIXES:
.NOTPARALLEL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

override NEEDS_PYTHON := $(if $(MAKECMDGOALS),$(filter-out help clean,$(MAKECMDGOALS)))

# What PYTHON is: "3.11 3.11.7-cpython-311", or nothing if it can't be run.
override ABOUT := $(if $(NEEDS_PYTHON),$(shell '$(PYTHON)' -c 'import platform as p, sys; \
	v = p.python_version(); \
	print(".".join(v.split(".")[:2]) + " " + v + "-" + str(getattr(getattr(sys, "implementation", None), "cache_tag", "")) \
	+ getattr(sys, "abiflags", ""))' 2>/dev/null))
override SUFFIX := $(if $(filter-out $(DEFAULT_PYTHON),$(PYTHON)),-$(firstword $(ABOUT)))
override VENV := .venv$(SUFFIX)
override VENV_BENCH := .venv-bench$(SUFFIX)
override VENV_DOCS := .venv-docs$(SUFFIX)
override VENV_LOCK := .venv-lock
override KEY := $(lastword $(ABOUT)) $(CURDIR)

# $(call made,VENV): the stamp of an environment, which is out of date if its key is.
override made = $(if $(NEEDS_PYTHON),$(shell \
	[ "$$(cat $(1)/.made 2>/dev/null)" = '$(KEY)' ] || rm -f $(1)/.made))$(1)/.made

# $(call step,TEXT,LOG,COMMAND): one line, and the command's output only if it fails.
define step
@printf '%s\n' '$(1)'
@$(3) >$(2) 2>&1 || { cat $(2) >&2; exit 1; }
endef

override PIP_INSTALL = bin/python -m pip --disable-pip-version-check --no-input install

.PHONY: help
help: ## list what make can do (the default)
	@printf 'make TARGET [PYTHON=python3.13]\n\n'
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  \1	\2/p' Makefile
	@printf '\nTESTS=, JOBS=, BENCH=, LOCK= and SOAK= give arguments, as in: make test TESTS="tests -k retry"\n'

.PHONY: demo
demo: $(VENV)/.run $(VENV)/.self ## set up what is needed and run the demo
	@$(VENV)/bin/atonce demo

.PHONY: test
test: $(VENV)/.dev $(VENV)/.self ## set up what is needed, lint, check types and run the tests (TESTS=, JOBS=)
	@printf 'ruff check: ' && $(VENV)/bin/python -m ruff check .
	@printf 'ruff format: ' && $(VENV)/bin/python -m ruff format --check .
	@printf 'mypy: ' && $(VENV)/bin/python -m mypy
	@$(VENV)/bin/python -m pytest --numprocesses $(JOBS) $(TESTS)

.PHONY: soak
soak: $(VENV)/.dev $(VENV)/.self ## storms of kills, stops and full disks against real runs, for ten minutes (SOAK=seconds)
	@$(VENV)/bin/python tests/soak/soak.py --seconds $(SOAK)

.PHONY: faults
faults: $(VENV)/.dev $(VENV)/.self ## every fault at every stage in every model, also those that make test leaves out
	@$(VENV)/bin/python -m pytest tests/faults -m ''

.PHONY: behaviours
behaviours: $(VENV)/.dev $(VENV)/.self ## write docs/behaviours.md from the table in tests/behaviours
	@$(VENV)/bin/python tests/behaviours/behaviour_page.py

# What needs what is installed here: of all else `make test` takes care. A cluster is shared by the tests of a file: `loadfile`.
WITH_OTHERS := tests/integrations $(addprefix tests/placement/test_placement_,clusters.py clusters_lost.py) \
	$(addprefix tests/worker/test_worker_,arrays.py native.py)
# Of the guide, the pages.
PAGES := $(foreach page,joblib dataframes notebooks,'tests/docs/test_pages.py::test_its_snippets_run[guide/$(page)]')

.PHONY: integrations
integrations: $(VENV)/.integrations $(VENV)/.self ## the tests with Dask, Ray, joblib, notebooks, numpy and others, which it installs (TESTS=, JOBS=)
	@$(VENV)/bin/python -m pytest --numprocesses $(JOBS) --dist loadfile $(or $(TESTS),$(WITH_OTHERS) $(PAGES))

.PHONY: clusters
clusters: $(VENV)/.integrations $(VENV)/.self ## the whole contract on real Dask and Ray clusters
	@$(VENV)/bin/python -m pytest tests/placement -m ''

.PHONY: page-test
page-test: $(VENV)/.dev $(VENV)/.self ## the pages in a real Chromium, also with 100 000 attempts (needs chromium)
	@$(VENV)/bin/python -m pytest tests/report -m ''

.PHONY: docs
docs: $(VENV_DOCS)/.docs $(VENV_DOCS)/.self ## build the site into build/docs; every warning is an error
	@$(VENV_DOCS)/bin/python -m sphinx -W --keep-going -q -b html docs build/docs
	@printf 'build/docs/index.html\n'

.PHONY: screenshots
screenshots: $(VENV)/.dev $(VENV)/.self ## the pictures of the page and of progress in docs/images, from real runs (needs chromium)
	@$(VENV)/bin/python tests/report/screenshots.py docs/images

.PHONY: bench
bench: $(VENV_BENCH)/.bench $(VENV_BENCH)/.self ## measure atonce beside other tools (BENCH=)
	@$(VENV_BENCH)/bin/python -m bench $(BENCH)

.PHONY: regret
regret: $(VENV_BENCH)/.bench $(VENV_BENCH)/.self ## measure what auto loses to the best hand-set choice (BENCH=)
	@$(VENV_BENCH)/bin/python -m bench.regret $(BENCH)

.PHONY: lock
lock: $(VENV_LOCK)/.uv ## write the locks from pyproject.toml (LOCK=--upgrade for newer versions)
	$(call compile,requirements.txt,)
	$(call compile,requirements-dev.txt,--group dev --constraint requirements.txt)
	$(call compile,requirements-integrations.txt,--group integrations --constraint requirements-dev.txt)
	$(call compile,docs/requirements.txt,--group docs --constraint requirements.txt)
	$(call compile,bench/requirements.txt,--group bench --constraint requirements.txt)

# An old lock's pins are kept where they still fit, unless LOCK has --upgrade.
define compile
$(call step,Writing $(1),$(VENV_LOCK)/log.txt,$(VENV_LOCK)/bin/uv pip compile pyproject.toml $(2) \
	--universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	--custom-compile-command "make lock" --output-file $(1) $(LOCK))
endef

.PHONY: clean
clean: ## remove environments, caches and builds
	@rm -rf .venv .venv-* build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# For scripts: where the environment of `make test` is.
.PHONY: venv-path
venv-path:
	@printf '%s\n' '$(VENV)'

# Environments

$(call made,$(VENV)) $(call made,$(VENV_BENCH)) $(call made,$(VENV_DOCS)) $(call made,$(VENV_LOCK)):
	@if [ -z '$(ABOUT)' ]; then \
	  echo "atonce: '$(PYTHON)' can't be run; name a Python 3.11 or newer, as in: make $(MAKECMDGOALS) PYTHON=python3.13" >&2; \
	  exit 1; \
	fi
	@v='$(firstword $(ABOUT))'; major=$${v%%.*}; minor=$${v#*.}; \
	[ "$$major" -gt 3 ] 2>/dev/null || { [ "$$major" -eq 3 ] && [ "$$minor" -ge 11 ]; } 2>/dev/null || { \
	  echo "atonce: Python 3.11 or newer is needed, and '$(PYTHON)' is $(firstword $(ABOUT)); name a newer one, as in: make $(MAKECMDGOALS) PYTHON=python3.13" >&2; \
	  exit 1; \
	}
	@'$(PYTHON)' -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "atonce: '$(PYTHON)' lacks the venv or the ensurepip module; install it (on Debian and Ubuntu: apt install python3-venv), then run make again" >&2; \
	  exit 1; \
	}
	@rm -rf $(@D) && mkdir $(@D)
	$(call step,Making $(@D) with Python $(firstword $(ABOUT)),$(@D)/log.txt,'$(PYTHON)' -m venv $(@D))
	@printf '%s\n' '$(KEY)' >$@

$(VENV)/.run: requirements.txt $(VENV)/.made
	$(call step,Installing requirements.txt,$(@D)/log.txt,$(@D)/$(PIP_INSTALL) -r requirements.txt)
	@touch $@

# The dev lock holds all of requirements.txt too.
$(VENV)/.dev: requirements-dev.txt $(VENV)/.made
	$(call step,Installing requirements-dev.txt,$(@D)/log.txt,$(@D)/$(PIP_INSTALL) -r requirements-dev.txt)
	@touch $(@D)/.run $@

# On top of the dev lock, whose pins it keeps.
$(VENV)/.integrations: requirements-integrations.txt $(VENV)/.dev
	$(call step,Installing requirements-integrations.txt,$(@D)/log.txt,$(@D)/$(PIP_INSTALL) -r requirements-integrations.txt)
	@touch $@

$(VENV_BENCH)/.bench: bench/requirements.txt $(VENV_BENCH)/.made
	$(call step,Installing bench/requirements.txt,$(@D)/log.txt,$(@D)/$(PIP_INSTALL) -r bench/requirements.txt)
	@touch $@

$(VENV_DOCS)/.docs: docs/requirements.txt $(VENV_DOCS)/.made
	$(call step,Installing docs/requirements.txt,$(@D)/log.txt,$(@D)/$(PIP_INSTALL) -r docs/requirements.txt)
	@touch $@

$(VENV)/.self: $(VENV)/.made
$(VENV_BENCH)/.self: $(VENV_BENCH)/.made
$(VENV_DOCS)/.self: $(VENV_DOCS)/.made
$(VENV)/.self $(VENV_BENCH)/.self $(VENV_DOCS)/.self: pyproject.toml
	$(call step,Installing atonce,$(@D)/log.txt,$(@D)/$(PIP_INSTALL) --no-deps -e .)
	@touch $@

$(VENV_LOCK)/.uv: Makefile $(VENV_LOCK)/.made
	$(call step,Installing uv $(UV),$(@D)/log.txt,$(@D)/$(PIP_INSTALL) uv==$(UV))
	@touch $@
