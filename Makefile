# make run LIBRARY=~/music RESULTS=~/results JOBS=8     a directory of music becomes .INFO files
# make run PRESET=full ...                              with all trained models (config/full.yaml), which are fetched
# make test                                             the whole test suite
# make features                                         renew the README's table of features from the code
# make scale                                            what Snakemake costs with libraries of 1000 and of 5000 tracks
# make bench                                            what each step costs, and the workflow against one plain program
# make eval-beats DIR=...                               beats and downbeats against true ones, beside other trackers
# make eval-stems DIR=...                               stems against true ones, beside a simple split; of a trained
#                                                       separator: ARGS="--backend demucs --entry htdemucs_ft"
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
PIP  := $(BIN)/pip install --quiet --disable-pip-version-check

ifeq ($(PRESET),embedded)
INSTALLED := $(VENV)/base.done
else ifeq ($(PRESET),full)
INSTALLED := $(VENV)/flamingo.done
FILES_OF_PRESET := --configfile config/full.yaml
else
$(error PRESET is embedded or full, not $(PRESET))
endif

# Which build of torch: that for CUDA, unless there is no such card. For ROCm: make TORCH=--index-url=<PyTorch's index for it>
TORCH ?= $(shell ls /dev/nvidia0 >/dev/null 2>&1 || echo --extra-index-url=https://download.pytorch.org/whl/cpu)

# How llama.cpp is built: for the GPU whose compiler is here. Other ways: CMAKE_ARGS=... make ...
GGML := $(if $(shell command -v nvcc),-DGGML_CUDA=ON,$(if $(shell command -v hipcc),-DGGML_HIP=ON))

.PHONY: run test features bench scale eval-beats eval-stems chaos fuzz lint clean

run: $(INSTALLED)
	@$(BIN)/python -m mirflow run --library "$$LIBRARY" --results "$$RESULTS" --jobs "$$JOBS" -- $(FILES_OF_PRESET)

test: $(VENV)/dev.done
	@$(BIN)/python -m pytest

features: $(VENV)/base.done
	@$(BIN)/python -m mirflow table --into README.md

bench: $(VENV)/base.done
	@$(BIN)/python -m mirflow bench $(FILES)
	@$(BIN)/python -m mirflow price $(FILES)

scale: $(VENV)/base.done
	@$(BIN)/python -m mirflow scale $(TRACKS)

eval-beats eval-stems: $(VENV)/dev.done
	@$(BIN)/python -m mirflow $(subst -,_,$@) "$$DIR" $(ARGS)

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
	@$(PIP) -r envs/base.txt
	@$(PIP) --no-deps --editable .
	@echo "mirflow: compiling (once)"
	@$(BIN)/python -m mirflow warmup
	@touch $@

# torch first and by itself, from the index of its build.
$(VENV)/models.done: $(VENV)/base.done envs/models.txt envs/models.post-deploy.sh
	@echo "mirflow: installing what trained models need into $(VENV) (once)"
	@$(PIP) --retries 1 $(TORCH) --no-deps $$(grep '^torch==' envs/models.txt)
	@$(PIP) -r envs/models.txt
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh envs/models.post-deploy.sh
	@touch $@

$(VENV)/flamingo.done: $(VENV)/models.done envs/flamingo.txt
	@echo "mirflow: installing what descriptions need into $(VENV) (once; llama.cpp is compiled, some minutes)"
	@CMAKE_ARGS="$${CMAKE_ARGS-$(GGML)}" $(PIP) -r envs/flamingo.txt
	@touch $@

# Tests of what is not there are skipped: a machine without a C++ compiler tests everything but llama.cpp.
$(VENV)/dev.done: $(VENV)/models.done envs/dev.txt
	@$(MAKE) --no-print-directory $(VENV)/flamingo.done || echo "mirflow: llama-cpp-python could not be built; its tests are skipped"
	@$(PIP) -r envs/dev.txt
	@touch $@
