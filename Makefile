# Myelin. `make help` lists what there is. Only python3 (3.11) with venv, and make, are taken for granted.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Where PyPI's torch would bring CUDA: make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu
PIP := $(BIN)/python -m pip install --disable-pip-version-check --progress-bar on $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
# One thread per process: on shared cores two threads each are slower than one.
export OMP_NUM_THREADS ?= 1
export NO_ET := 1
export NIPYPE_NO_ET := 1
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

.PHONY: help demo test check format vendor words show show-main show-headers show-faces show-bids show-quality show-governance show-portal serve worker clean

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1|\2/' | awk -F'|' '{printf "  %-12s %s\n", substr($$1,3), $$2}'

demo: $(VENV)/.ready ## the whole story, from DICOM to a withdrawn participant (FULL=1: 1 mm throughout; SERVE=1: leaves it running)
	@$(BIN)/python manage.py demo $(if $(FULL),--full) $(if $(SERVE),--serve)

test: $(VENV)/.ready-dev ## every test this machine can run, two at a time; says what it skipped (ARGS="tests/deid -k csa", JOBS=4)
	@$(BIN)/python -m pytest -n $(or $(JOBS),2) --dist loadfile $(ARGS)

check: $(VENV)/.ready-dev ## lint, format, types, and the tests of the house itself
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/python -m pytest -q tests/house --deselect tests/house/test_readme.py

format: $(VENV)/.ready-dev ## let ruff lay out the code
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

vendor: ## fetch anew what the pages load from others (needs node and npm; the output is committed, so nobody else does)
	@cd vendor && npm ci --ignore-scripts --no-audit --no-fund && node vendor.mjs

words: $(VENV)/.ready-dev ## collect what the pages say into the German catalogue, and compile it
	@DJANGO_SETTINGS_MODULE=registry.settings PYTHONPATH=. $(BIN)/python tests/registry/upper/portal/words.py

show: show-main show-headers show-faces show-bids show-quality show-governance show-portal ## measure what every issue promises, and print it as tables

show-main: $(VENV)/.ready-dev ## the main job measured (QUICK=1: minutes; FULL=1: everything, kept in docs/measured/main.json)
	@PYTHONPATH=. $(BIN)/python tests/measure/main.py $(if $(QUICK),--quick) $(if $(FULL),--full)

show-headers: $(VENV)/.ready-dev ## de-identification measured beside its peers (QUICK=1: without them; FULL=1: everything, kept in docs/measured/headers.json)
	@PYTHONPATH=. $(BIN)/python tests/measure/headers.py $(if $(QUICK),--quick) $(if $(FULL),--full) $(if $(ONLY),--only "$(ONLY)")

show-faces: $(VENV)/.ready-dev ## defacing measured beside ANTs and SimpleITK (QUICK=1: what takes seconds; FULL=1: everything, kept in docs/measured/faces.json)
	@PYTHONPATH=. $(BIN)/python tests/measure/faces.py $(if $(QUICK),--quick) $(if $(FULL),--full) $(if $(ONLY),--only "$(ONLY)")

show-bids: $(VENV)/.ready-dev ## conversion, names and masks measured beside both bare converters (QUICK=1, FULL=1, ONLY="..." as above)
	@PYTHONPATH=. $(BIN)/python tests/measure/bids.py $(if $(QUICK),--quick) $(if $(FULL),--full) $(if $(ONLY),--only "$(ONLY)")

show-quality: $(VENV)/.ready-dev ## quality measured beside MRIQC's functions and on TorchIO's artefacts (QUICK=1, FULL=1, ONLY="..." as above)
	@PYTHONPATH=. $(BIN)/python tests/measure/quality.py $(if $(QUICK),--quick) $(if $(FULL),--full) $(if $(ONLY),--only "$(ONLY)")

show-governance: $(VENV)/.ready-dev ## consent, access, departures and the log measured (QUICK=1, FULL=1, ONLY="..." as above)
	@PYTHONPATH=. $(BIN)/python tests/measure/governance.py $(if $(QUICK),--quick) $(if $(FULL),--full) $(if $(ONLY),--only "$(ONLY)")

show-portal: $(VENV)/.ready-dev ## the portal measured in a real browser (QUICK=1, FULL=1, ONLY="..." as above)
	@PYTHONPATH=. $(BIN)/python tests/measure/portal.py $(if $(QUICK),--quick) $(if $(FULL),--full) $(if $(ONLY),--only "$(ONLY)")

serve: $(VENV)/.ready ## the web process on http://127.0.0.1:8000 (development settings; PORT=8001 for another)
	@$(BIN)/python manage.py bootstrap >/dev/null && exec $(BIN)/python manage.py runserver --noreload $(or $(PORT),8000)

worker: $(VENV)/.ready ## the runner, its carrier, the mail and the tick
	@$(BIN)/python manage.py bootstrap >/dev/null && exec $(BIN)/python manage.py worker

clean: ## what was built here (not the data under var/)
	rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache

# --no-deps: requirements.txt is the whole set, and says why. torch comes once more with its own needs, for the build with CUDA has some.
$(VENV)/.ready: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "Myelin runs on Python 3.11; this is %s. Say: make PYTHON=python3.11 ..." % sys.version.split()[0])'
	@echo "Setting up $(VENV): about 460 MB to download from PyPI once (a CUDA build of torch: several GB more, see README), 1.9 GB on disk."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) --no-deps -r requirements.txt
	@$(PIP) -q -c requirements.txt torch==2.13.0
	@$(PIP) -q --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.ready-dev: $(VENV)/.ready requirements-dev.txt
	@$(PIP) -q --no-deps -r requirements-dev.txt
	@touch $@
