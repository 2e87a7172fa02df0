# make run    the page at http://localhost:8501
# make test   lint, types and every test, those in a browser included
# make lint   lint and types only
# make docs   take the screenshots in docs/ anew
# Each makes .venv at first use and again when a requirements file changes.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PORT ?= 8501
ROOT_APT := [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null
APT_INSTALL := apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends

# Two torch threads beside another busy process wait for each other: one is faster.
export OMP_NUM_THREADS ?= 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: run test lint docs browser clean
.DELETE_ON_ERROR:

run: $(VENV)/.installed
	$(BIN)/streamlit run streamlit_app.py --server.port $(PORT)

test: lint browser
	$(BIN)/pytest

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .

docs: $(VENV)/.installed-dev browser
	SCREENSHOTS=docs $(BIN)/pytest tests/test_browser.py -k "webcam or phone"

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis out

$(VENV)/.installed: requirements.txt | $(BIN)/pip
	$(BIN)/pip install -q -r requirements.txt
	touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	$(BIN)/pip install -q -r requirements-dev.txt
	touch $@

$(BIN)/pip:
	@[ -n "$(PYTHON)" ] || { echo "Python 3.11 or newer is needed; on Debian: apt-get install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else "Python 3.11 or newer is needed, found %d.%d; name one: make PYTHON=/path/to/python3.11" % v[:2])'
	@if ! $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then \
	  if $(ROOT_APT); then $(APT_INSTALL) python3-venv; \
	  else echo "Python's venv module is missing; on Debian: sudo apt-get install python3-venv" >&2; exit 1; fi; fi
	$(PYTHON) -m venv $(VENV)

# Tests in a browser need Debian's chromium and ffmpeg, and a font with Korean letters; those of FluidSynth need its
# program, 6 MB with a small soundfont. Without them these tests skip.
browser:
	@if command -v chromium >/dev/null && command -v ffmpeg >/dev/null && command -v fluidsynth >/dev/null; then :; \
	elif $(ROOT_APT); then $(APT_INSTALL) chromium ffmpeg fonts-nanum fluidsynth; \
	else echo "chromium, ffmpeg or fluidsynth is missing: their tests will be skipped (sudo apt-get install chromium ffmpeg fonts-nanum fluidsynth)"; fi
