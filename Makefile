# make run LIBRARY=~/music RESULTS=~/results JOBS=8     a directory of music becomes .INFO files
# make test                                             the whole test suite
# make features                                         renew the README's table of features from the code
# make bench                                            what each step costs: CPU seconds per minute of audio
# make chaos ROUNDS=50                                  kill things at random moments and see that nothing is lost
# make lint                                             what the tests do not look at: style of Python and of the rules

LIBRARY ?= demo
RESULTS ?= results
JOBS    ?= $(shell nproc)
PYTHON  ?= python3
ROUNDS  ?= 50
export LIBRARY RESULTS JOBS

VENV := .venv
BIN  := $(VENV)/bin
# A value for --config, quoted such that Snakemake takes any file name for what it is: text.
quoted = "$$($(BIN)/python -c 'import json, os, sys; print(" " + json.dumps(os.environ[sys.argv[1]]) + " ")' $(1))"

.PHONY: run test features bench chaos lint clean

run: $(VENV)/base.done
	@$(BIN)/snakemake -j "$$JOBS" --logger mirflow --config library=$(call quoted,LIBRARY) results=$(call quoted,RESULTS)

test: $(VENV)/dev.done
	@$(BIN)/python -m pytest

features: $(VENV)/base.done
	@$(BIN)/python -m mirflow table --into README.md

bench: $(VENV)/base.done
	@$(BIN)/python -m mirflow bench $(FILES)

chaos: $(VENV)/dev.done
	@cd tests && ../$(BIN)/python chaos.py $(ROUNDS)

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
	@touch $@

$(VENV)/dev.done: $(VENV)/base.done envs/dev.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check -r envs/dev.txt
	@touch $@
