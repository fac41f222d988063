# The verbs of this project; `make` alone lists them.
#
#   PYTHON=python3.12    the Python that .venv is made with, instead of the first that fits
#   OUT=runs/demo        the folder of the demo's run
#   ARGS="-k kl -n 0"    more arguments for pytest

VENV := .venv
RUN := $(VENV)/bin/python -m
PIP := $(RUN) pip --quiet --no-input --disable-pip-version-check
OUT ?= runs/demo
ARGS ?=
PYTHONS := $(or $(PYTHON),python3 python3.13 python3.12 python3.11)
FITS := import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo setup runtime test format lint type docs bench clean

help: ## list the verbs
	@echo "make VERB, where VERB is one of"
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1\t\2/p' Makefile

demo: runtime ## learn a hidden rule from demonstrations and draw it
	@if [ -n "$$(ls '$(OUT)' 2>/dev/null)" ]; then \
	  echo "demo: $(OUT) already holds a run, so this is: reins resume $(OUT)"; \
	  $(VENV)/bin/reins resume '$(OUT)'; \
	else \
	  echo "demo: reins demo --out $(OUT)"; \
	  $(VENV)/bin/reins demo --out '$(OUT)'; \
	fi

setup: ## make .venv with everything that developing needs
	$(call install,.[dev],dev,dev)

runtime: # the same with only what running needs
	$(call install,.,runtime,runtime dev)

test: setup ## run every test, on all cores
	@$(RUN) pytest -n auto --dist loadfile $(ARGS)

format: setup ## put every file into its format
	@$(RUN) ruff format .
	@$(RUN) ruff check --fix .

lint: setup ## check format, lint and spelling
	@$(RUN) ruff format --check .
	@$(RUN) ruff check .
	@$(RUN) codespell_lib

type: setup ## check the types
	@$(RUN) pyright

docs: setup ## check that what the documents say is so
	@$(RUN) pytest -m docs $(ARGS)

bench: runtime ## measure environment steps and gradient estimates per second
	@$(RUN) benchmarks.lapgridworld
	@$(RUN) benchmarks.lab
	@$(RUN) benchmarks.halfcheetah --only reins simulator --seconds 5 \
	  --out runs/bench/halfcheetah.json

clean: ## remove .venv and what tools left behind; runs/ stays
	@echo "clean: removing $(VENV), build/, dist/ and caches"
	@rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis
	@find src tests benchmarks -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

# $(call install,REQUIREMENT,STAMP,STAMPS THAT WILL DO)
#
# The stamp repeats this folder's name and the two files that say what to install: when
# one of them changes, or the folder moves, the next call installs again; otherwise it does
# nothing. It is written last, so an installation that broke off is taken up again.
# The build backend is installed first, from constraints.txt as everything else.
define install
@set -e; \
wanted="$$(pwd; cat pyproject.toml constraints.txt)"; \
if $(VENV)/bin/python -c '$(FITS)' 2>/dev/null; then \
  for stamp in $(3); do \
    if [ "$$(cat $(VENV)/.reins-$$stamp 2>/dev/null)" = "$$wanted" ]; then \
      echo "setup: $(VENV) is ready ($$stamp); nothing to do"; exit 0; \
    fi; \
  done; \
else \
  found=; seen=; \
  for python in $(PYTHONS); do \
    if $$python -c '$(FITS)' 2>/dev/null; then found=$$python; break; fi; \
    if command -v $$python >/dev/null; then is=$$($$python --version 2>&1 | head -n 1); else is=missing; fi; \
    seen="$$seen $$python ($$is),"; \
  done; \
  if [ -z "$$found" ]; then \
    echo "setup: asked to make $(VENV) with a Python of at least 3.11 that has venv and ensurepip;" >&2; \
    echo "  found only$${seen%,}." >&2; \
    echo "  Neither reins nor the JAX that it uses runs on an older one." >&2; \
    echo "  Install one (on Debian and Ubuntu together with python3-venv), or name one that is there:" >&2; \
    echo "  make $(MAKECMDGOALS) PYTHON=/path/to/python3.12" >&2; \
    exit 1; \
  fi; \
  echo "setup: making $(VENV) with $$($$found --version) ($$found)"; \
  $$found -m venv --clear $(VENV); \
fi; \
echo "setup: installing reins and its $(2) packages into $(VENV), as pinned in constraints.txt (a minute or two)"; \
$(PIP) install --constraint constraints.txt hatchling; \
$(PIP) install --constraint constraints.txt --no-build-isolation --editable '$(1)'; \
printf '%s\n' "$$wanted" > $(VENV)/.reins-$(2)
endef
