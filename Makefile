# make run LIBRARY=~/music RESULTS=~/results JOBS=8  make the .INFO files of a directory of music
# make run ONLY=tracks.txt ...                       the same for the tracks that a file lists (also export, tables, report)
# make run SHARE=2/8 ...                             the same for one of eight shares of the tracks (docs/clusters.md)
# make run PRESET=full ...                           the same with trained models (config/full.yaml), which it downloads
# make export TARGET=stable_audio_tools ...           the same, and then what a trainer loads (docs/exports.md)
# make tables ...                                    the same, and then tables of all tracks
# make report ...                                    the same, and then what to decide about the library (docs/report.md)
# make test                                          run the whole test suite
# make test-exports                                  load exports with the trainers' own code; installs these (minutes)
# make lint                                          check the style of the Python files and of the rules
# make features                                      renew the table in docs/features.md from the code
# make versions                                      check that values change only with a version; record its code
# make bench                                         measure what each step costs, and what the workflow adds to it
# make scale                                         measure what Snakemake itself costs with 1000 and 5000 tracks
# make eval-beats DIR=...                            score beats and downbeats against annotations, with other trackers;
#                                                    DIR holds pieces, or sets of pieces
# make eval-onsets DIR=...                           the same for onsets, beside librosa and Essentia
# make train-beats TRAIN=... WORK=...                make training pieces and train the beat network (training/README.md)
# make train-drums TRAIN=... WORK=...                the same for the drum network
# make train-onsets TRAIN=... WORK=...               the same for the onset network
# make train-stems TRAIN=... WORK=...                the same for the stems network
# make eval-stems DIR=...                            score stems against true ones, with two simple separations; DIR holds
#                                                    pieces, or sets of pieces; another separator:
#                                                    ARGS="--backend demucs --entry htdemucs_ft"
# make eval-drums DIR=...                            score drum notes against annotations, with each backend that is there
# make eval-sources FILES="a.flac b.flac"             compare the values of copies of recordings: codecs, rates, gain ...
# make chaos ROUNDS=50                               disturb runs at random moments, and check that nothing is lost
# make test-slurm                                    divide a library among the jobs of a SLURM of its own
# make fuzz CASES=500                                give damaged and malicious files to the code that reads audio
# make clean                                         remove the environment, and Snakemake's working files

LIBRARY ?= demo
RESULTS ?= results
JOBS    ?= $(shell nproc)
PRESET  ?= embedded
PYTHON  ?= python3
ROUNDS  ?= 50
CASES   ?= 500
SHARE   ?= 1/1
PIECES  ?= 3000
BEAT_PIECES ?= 10000
ONSET_PIECES ?= 4000
STEM_PIECES ?= 700
export LIBRARY RESULTS JOBS CONFIG DIR SHARE TARGET OUT TRAIN WORK ONLY

VENV := .venv
BIN  := $(VENV)/bin
PIP  := $(BIN)/pip install --quiet --disable-pip-version-check

ifeq ($(PRESET),embedded)
INSTALLED := $(VENV)/base.done
else ifeq ($(PRESET),full)
INSTALLED := $(VENV)/flamingo.done
PRESET_FILE := config/full.yaml
else
$(error PRESET is embedded or full, not $(PRESET))
endif

# The build of torch: for CUDA if there is an NVIDIA GPU, else for CPUs. For ROCm:
# make TORCH=--index-url=<PyTorch's index for it> ...
TORCH ?= $(shell ls /dev/nvidia0 >/dev/null 2>&1 || echo --extra-index-url=https://download.pytorch.org/whl/cpu)

# llama.cpp is compiled for the GPU of this machine if the GPU's compiler is installed too (nvcc cannot compile for a
# GPU that it does not find). To choose yourself: CMAKE_ARGS=... make ...
CUDA := $(shell ls /dev/nvidia0 >/dev/null 2>&1 && command -v nvcc)
HIP  := $(shell ls /dev/kfd >/dev/null 2>&1 && command -v hipcc)
GGML := $(if $(CUDA),-DGGML_CUDA=ON,$(if $(HIP),-DGGML_HIP=ON))

.PHONY: run export tables report test test-exports versions features bench eval-beats eval-onsets eval-stems eval-drums \
        scale eval-sources train-beats train-drums train-onsets train-stems chaos test-slurm fuzz lint clean

# In place of the shell, so that a signal to stop arrives, and make waits for the end.
MIRFLOW_RUN = exec $(BIN)/python -m mirflow run --library "$$LIBRARY" --results "$$RESULTS" --jobs "$$JOBS" $(if $(ONLY),--only "$$ONLY")
SETTINGS    = $(if $(PRESET_FILE)$(CONFIG),--configfile $(PRESET_FILE) $${CONFIG:+"$$CONFIG"})

run: $(INSTALLED)
	@$(MIRFLOW_RUN) --share "$$SHARE" -- $(SETTINGS)

export: $(INSTALLED)
	@$(MIRFLOW_RUN) --export "$$TARGET" --out "$$OUT" -- $(SETTINGS)

tables report: $(INSTALLED)
	@$(MIRFLOW_RUN) --export $@ -- $(SETTINGS)

test: $(VENV)/dev.done
	@$(BIN)/python -m pytest

# Trainers want other versions of packages than mirflow, so they have an environment of their own.
TRAINERS := .venv-exports
TREES    := $(TRAINERS)/trees

test-exports: $(VENV)/dev.done $(TRAINERS)/done
	@rm -rf $(TREES) && $(BIN)/python tests/consumers/trees.py $(TREES)
	@EXPORTS=$(CURDIR)/$(TREES) PYTHONPATH=tests/consumers $(TRAINERS)/bin/python -m pytest --noconftest -p exported -W ignore \
	    tests/consumers/check_*.py

$(TRAINERS)/done: envs/trainers.txt envs/trainers.no-deps.txt
	@echo "mirflow: installing the code of trainers into $(TRAINERS) (once)"
	@test -x $(TRAINERS)/bin/python || $(PYTHON) -m venv $(TRAINERS)
	@$(TRAINERS)/bin/pip install --quiet --disable-pip-version-check --retries 1 $(TORCH) --no-deps $$(grep '^torch==' envs/trainers.txt)
	@$(TRAINERS)/bin/pip install --quiet --disable-pip-version-check -r envs/trainers.txt
	@$(TRAINERS)/bin/pip install --quiet --disable-pip-version-check --no-deps -r envs/trainers.no-deps.txt
	@rm -f $(TRAINERS)/lib/python3*/site-packages/torchaudio/lib/*.so
	@touch $@

versions: $(VENV)/dev.done
	@cd tests && ../$(BIN)/python known_values.py

features: $(VENV)/base.done
	@$(BIN)/python -m mirflow table --into docs/features.md

bench: $(VENV)/base.done
	@$(BIN)/python -m benchmarks.bench $(FILES)
	@$(BIN)/python -m benchmarks.overhead $(FILES)

scale: $(VENV)/base.done
	@$(BIN)/python -m benchmarks.planning $(TRACKS)

eval-beats eval-stems eval-drums eval-onsets: $(VENV)/dev.done
	@$(BIN)/python -m benchmarks.$(subst -,_,$@) "$$DIR" $(ARGS)

eval-sources: $(VENV)/base.done
	@$(BIN)/python -m benchmarks.sources $(FILES) $(ARGS)

# Pieces and scores that exist already are kept; a training that was interrupted begins again.
train-beats: $(VENV)/dev.done
	@$(PIP) -r training/requirements.txt
	@export PYTHONPATH=scripts:. OMP_NUM_THREADS=1; \
	test -e "$$TRAIN/corpus.jsonl" || $(BIN)/python -m training.corpus "$$TRAIN"; \
	$(BIN)/python -m training.beat_pieces "$$TRAIN" "$$WORK/pieces" valid 0 200 && \
	$(BIN)/python -m training.beat_pieces "$$TRAIN" "$$WORK/pieces" test 0 266 && \
	$(BIN)/python -m training.beat_pieces "$$TRAIN" "$$WORK/pieces" train 0 $(BEAT_PIECES) && \
	$(BIN)/python -m training.beat_net "$$WORK/pieces" "$$WORK/first" $(ARGS) && \
	$(BIN)/python -m training.beat_pieces "$$TRAIN" "$$WORK/pieces" train $(BEAT_PIECES) $(BEAT_PIECES) && \
	$(BIN)/python -m training.beat_net "$$WORK/pieces" "$$WORK/second" --resume "$$WORK/first/best.pt" \
	    --rate 2e-3 --steps 14000 $(ARGS) && \
	$(BIN)/python -m training.beat_pieces "$$TRAIN" "$$WORK/pieces" train $$((2 * $(BEAT_PIECES))) $$((2 * $(BEAT_PIECES))) && \
	$(BIN)/python -m training.beat_net "$$WORK/pieces" "$$WORK/third" --resume "$$WORK/second/best.pt" \
	    --first $$((2 * $(BEAT_PIECES))) --rate 2e-3 --steps 14000 $(ARGS) && \
	for half in 0 1; do \
	    $(BIN)/python -m training.beat_net "$$WORK/pieces" "$$WORK/fourth-$$half" --resume "$$WORK/third/last.pt" \
	        --first $$((2 * $(BEAT_PIECES))) --half $$half --rate 1.5e-3 --steps 7000 $(ARGS) || exit 1; \
	done && \
	$(BIN)/python -m training.export_beats "$$WORK"/fourth-?/best.pt scripts/mirflow/dsp/beats/network.npz && \
	$(BIN)/python -m benchmarks.eval_beats "$$WORK/pieces/test"

train-drums: $(VENV)/dev.done
	@$(PIP) -r training/requirements.txt
	@export PYTHONPATH=scripts:. OMP_NUM_THREADS=1; \
	$(BIN)/python -m training.drum_kits "$$WORK/kits" && \
	for set in "valid 0 110" "test 0 80" "train 0 $(PIECES)"; do \
	    $(BIN)/python -m training.drum_pieces "$$TRAIN" "$$WORK/kits" "$$WORK/pieces" $$set || exit 1; \
	done && \
	$(BIN)/python -m training.drum_net "$$WORK/pieces" "$$WORK" $(ARGS) && \
	$(BIN)/python -m training.export_drums "$$WORK/best.pt" scripts/mirflow/transcribe/embedded.npz && \
	$(BIN)/python -m training.drum_constants "$$WORK/pieces/valid" scripts/mirflow/transcribe/embedded.npz && \
	$(BIN)/python -m benchmarks.eval_drums "$$WORK/pieces/test"

train-onsets: $(VENV)/dev.done
	@$(PIP) -r training/requirements.txt
	@export PYTHONPATH=scripts:. OMP_NUM_THREADS=1; \
	test -e "$$TRAIN/corpus.jsonl" || $(BIN)/python -m training.corpus "$$TRAIN"; \
	$(BIN)/python -m training.onset_pieces "$$TRAIN" "$$WORK/pieces" valid 0 160 && \
	$(BIN)/python -m training.onset_pieces "$$TRAIN" "$$WORK/pieces" train 0 $(ONSET_PIECES) && \
	$(BIN)/python -m training.onset_net "$$WORK/pieces" "$$WORK" $(ARGS) && \
	$(BIN)/python -m training.export_onsets "$$WORK/best.pt" scripts/mirflow/dsp/onset_network.npz && \
	$(BIN)/python -m training.onset_cases "$$TRAIN" "$$WORK/cases" report && \
	$(BIN)/python -m benchmarks.eval_onsets "$$WORK/cases/report"

train-stems: $(VENV)/dev.done
	@$(PIP) -r training/requirements.txt
	@export PYTHONPATH=scripts:. OMP_NUM_THREADS=1; \
	$(BIN)/python -m training.stem_pieces "$$TRAIN" "$$WORK/pieces" valid 0 34 && \
	$(BIN)/python -m training.stem_pieces "$$TRAIN" "$$WORK/pieces" test 0 20 && \
	$(BIN)/python -m training.stem_pieces "$$TRAIN" "$$WORK/pieces" train 0 $(STEM_PIECES) && \
	$(BIN)/python -m training.stem_net "$$WORK/pieces" "$$WORK" $(ARGS) && \
	$(BIN)/python -m training.export_stems "$$WORK/best.pt" scripts/mirflow/dsp/separation/network.npz && \
	$(BIN)/python -m benchmarks.eval_stems "$$WORK/pieces/test-pieces"

chaos: $(VENV)/dev.done
	@cd tests && ../$(BIN)/python chaos.py $(ROUNDS)

test-slurm: $(VENV)/dev.done
	@cd tests && ../$(BIN)/python slurm.py

fuzz: $(VENV)/dev.done
	@cd tests && ../$(BIN)/python fuzz.py $(CASES)

lint: $(VENV)/dev.done
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint

clean:
	rm -rf $(VENV) .snakemake

# The .done files are written last, so an installation that was interrupted is continued by the next call.
$(VENV)/base.done: envs/base.txt pyproject.toml
	@echo "mirflow: installing what a run needs into $(VENV) (once, about a minute)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "mirflow: Python 3.11 or newer is needed" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) -r envs/base.txt
	@$(PIP) --no-deps --editable .
	@echo "mirflow: compiling (once)"
	@$(BIN)/python -m mirflow.warm.preload
	@touch $@

# torch is installed first and by itself, because its builds come from different indexes.
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

# Without a C++ compiler llama.cpp cannot be installed; its tests are then skipped, and all others run.
$(VENV)/dev.done: $(VENV)/models.done envs/dev.txt
	@$(MAKE) --no-print-directory $(VENV)/flamingo.done || echo "mirflow: llama-cpp-python could not be built; its tests are skipped"
	@$(PIP) -r envs/dev.txt
	@touch $@
