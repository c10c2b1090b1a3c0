# Two commands for a newcomer: `make demo` and `make test`. Each builds .venv once and reuses it.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
INSTALL = $(PY) -m pip install --quiet

.PHONY: demo test notebooks lint oldest newest clean help
help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

$(STAMP): pyproject.toml
	@echo "installing into $(VENV), once: PyTorch and its neighbours, about 6 GB, some minutes"
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(INSTALL) --editable ".[dev,notebooks,cpu,ocr,translate]"
	@touch $@

demo: $(STAMP)  ## draw eyes, pretrain the baseline and KeepFIT, score both: demo/report.html
	$(PY) -m keepfit_mini demo --out demo

# One thread a process: two torch processes that share two cores slow each other down manyfold otherwise.
test: $(STAMP) lint  ## ruff, every test, every notebook
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist loadscope
	$(MAKE) notebooks

notebooks: $(STAMP)  ## every notebook from top to bottom, outputs compared where they are marked
	KEEPFIT_FAST=1 HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist loadscope --nbval-lax --nbval-current-env \
		--nbval-cell-timeout 300 notebooks

.PHONY: form exercises runtimes
form: $(STAMP)  ## write every notebook's badge, needs and setup cell
	$(PY) data_scripts/course.py form

exercises: $(STAMP)  ## write the student versions
	$(PY) data_scripts/course.py exercises

runtimes: $(STAMP)  ## run every notebook, full and fast, on two cores: results/runtimes.json
	$(PY) data_scripts/course.py runtimes

lint: $(STAMP)  ## ruff only
	$(VENV)/bin/ruff check .

# pip knows no lower bounds; uv does.
oldest:  ## make test on the lower bounds of pyproject.toml
	$(MAKE) test VENV=.venv-oldest INSTALL='$$(PY) -m pip install --quiet uv && $$(PY) -m uv pip install --quiet --python $$(PY) --resolution lowest-direct'

newest:  ## make test on the newest releases
	rm -f .venv-newest/.installed
	$(MAKE) test VENV=.venv-newest INSTALL='$$(PY) -m pip install --quiet --upgrade --upgrade-strategy eager'

clean:  ## remove the environments and what the demo wrote
	rm -rf $(VENV) .venv-oldest .venv-newest demo
