# make run LIBRARY=~/music RESULTS=~/results JOBS=8     a directory of music becomes .INFO files
# make run PRESET=full ...                              with all trained models (config/full.yaml), which are fetched
# make test                                             the whole test suite
# make features                                         renew the README's table of features from the code
# make bench                                            what each step costs: CPU seconds per minute of audio
# make eval-beats DIR=...                               beats and downbeats against true ones, beside other trackers
# make eval-stems DIR=...                               stems against true ones, beside a simple split
# make chaos ROUNDS=50                                  break things while a run is at work, and see that nothing is lost
# make fuzz CASES=500                                   give damaged and malicious files to what reads audio
# make lint                                             what the tests do not look at: style of Python and of the rules

LIBRARY ?= demo
RESULTS ?= results
JOBS    ?= $(shell nproc)
PRESET  ?= embedded
PYTHON  ?= python3
ROUNDS  ?= 50
CASES   ?= 500
export LIBRARY RESULTS JOBS DIR

VENV := .venv
BIN  := $(VENV)/bin
# A value for --config, quoted such that Snakemake takes any file name for what it is: text.
quoted = "$$($(BIN)/python -c 'import json, os, sys; print(" " + json.dumps(os.environ[sys.argv[1]]) + " ")' $(1))"

ifeq ($(PRESET),embedded)
INSTALLED := $(VENV)/base.done
else ifeq ($(PRESET),full)
INSTALLED := $(VENV)/models.done
FILES_OF_PRESET := --configfile config/full.yaml
else
$(error PRESET is embedded or full, not $(PRESET))
endif

# Which build of torch: that for CUDA, unless there is no such card. Another one: make TORCH=--index-url=<its index>
TORCH ?= $(shell ls /dev/nvidia0 >/dev/null 2>&1 || echo --extra-index-url=https://download.pytorch.org/whl/cpu)

.PHONY: run test features bench eval-beats eval-stems chaos fuzz lint clean

run: $(INSTALLED)
	@$(BIN)/snakemake -j "$$JOBS" --logger mirflow $(FILES_OF_PRESET) --config library=$(call quoted,LIBRARY) results=$(call quoted,RESULTS)

test: $(VENV)/dev.done
	@$(BIN)/python -m pytest

features: $(VENV)/base.done
	@$(BIN)/python -m mirflow table --into README.md

bench: $(VENV)/base.done
	@$(BIN)/python -m mirflow bench $(FILES)

eval-beats eval-stems: $(VENV)/dev.done
	@$(BIN)/python -m mirflow $(subst -,_,$@) "$$DIR"

chaos: $(VENV)/dev.done
	@cd tests && ../$(BIN)/python chaos.py $(ROUNDS)

fuzz: $(VENV)/dev.done
	@cd tests && ../$(BIN)/python fuzz.py $(CASES)

lint: $(VENV)/dev.done
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint

clean:
	rm -rf $(VENV) .snakemake

# The stamps are written last: an installation that was broken off is taken up again.
$(VENV)/base.done: envs/base.txt pyproject.toml
	@echo "mirflow: installing what a run needs into $(VENV) (once, about a minute)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "mirflow: Python 3.11 or newer is needed" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check -r envs/base.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	@echo "mirflow: compiling (once)"
	@$(BIN)/python -m mirflow warmup
	@touch $@

# torchaudio's compiled parts link CUDA and keep it from being imported beside a CPU build of torch; it works without.
$(VENV)/models.done: $(VENV)/base.done envs/models.txt envs/models-no-deps.txt
	@echo "mirflow: installing what trained models need into $(VENV)"
	@$(BIN)/pip install --quiet --disable-pip-version-check $(TORCH) -r envs/models.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -r envs/models-no-deps.txt
	@$(BIN)/python -c 'import torch; exit(torch.version.cuda is None)' || rm -f $(VENV)/lib/python*/site-packages/torchaudio/lib/*.so
	@touch $@

$(VENV)/dev.done: $(VENV)/base.done envs/dev.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check -r envs/dev.txt
	@touch $@
