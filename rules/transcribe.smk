# Needs:  the stems, full_mix.flac, the grids; the files of a model
# Makes:  with transcribe.drums: drum activations, from these the notes, and drums.mid; with transcribe.quantise also
#         drums.quantised.mid; on request transcribe/drums.wav (the notes beside the track) and transcribe/drums.png
#         with transcribe.bass: the notes of the bass line, and bass.mid

from mirflow.transcribe import backends as drum_backends

TRANSCRIBE = config["transcribe"]
DRUMS = TRANSCRIBE["drums"] if TRANSCRIBE["drums"] != "none" else ""
DRUM_MODEL = drum_backends.MODELS[DRUMS] if DRUMS else ""  # name of the trained model in config/models.yaml
DEFAULT_STEPS = 12  # to a beat, of a drums.quantised.mid that is asked for by name while transcribe.quantise is 0


if DRUMS:

    rule drum_activations:
        "Say for each frame of a track how likely each drum is hit."
        input:
            drums=TRACK.stem("drums"),
            full_mix=TRACK.full_mix,
            drum_stems=list(TRACK.drum_stems.values()) if DRUM_STEMS else [],
            separated=TRACK.drum_stems_record if DRUM_STEMS else [],
            model=catalogue.path(DRUM_MODEL) if DRUM_MODEL else [],
        output:
            activations=TRACK.drum_activations,
            record=TRACK.drum_activations_record,
        log:
            "<logs>/{parent}{name}/drum_activations.log",
        benchmark:
            "<benchmarks>/{parent}{name}/drum_activations.jsonl"
        # No other rule that uses the GPU has this priority, so that a run loads each model once.
        priority: 28
        conda:
            "../envs/models.yaml" if DRUM_MODEL else "../envs/base.yaml"
        threads: accelerator.expected_threads(TRANSCRIBE["device"]) if DRUM_MODEL else 1
        resources:
            gpu=int(bool(DRUM_MODEL)),
            mem_mb=3000,
        params:
            worker="--model" if DRUM_MODEL else "",
            backend=DRUMS,
            trained=f"--entry {DRUM_MODEL} --device {TRANSCRIBE['device']}" if DRUM_MODEL else "",
            made_by=identity.made_by(
                f"drum_activations_{DRUMS}",
                **({"entry": DRUM_MODEL, "model": catalogue.identity(DRUM_MODEL)} if DRUM_MODEL else {}),
            ),
        shell:
            "mirflow {params.worker} drum_activations {input.drums:q} --full-mix {input.full_mix:q}"
            " --drum-stems {input.drum_stems:q} --drum-stems-record {input.separated:q}"
            " --backend {params.backend} {params.trained} --model {input.model:q} -o {output.activations:q}"
            " --record {output.record:q} 2> {log:q}"

    rule drum_notes:
        "Read the notes of the drums from the activations."
        input:
            activations=TRACK.drum_activations,
            record=TRACK.drum_activations_record,
            drums=TRACK.stem("drums"),
            drum_stems=list(TRACK.drum_stems.values()) if DRUM_STEMS else [],
        output:
            notes=TRACK.drum_notes,
            record=TRACK.drums_record,
        log:
            "<logs>/{parent}{name}/drum_notes.log",
        benchmark:
            "<benchmarks>/{parent}{name}/drum_notes.jsonl"
        priority: 30
        conda:
            "../envs/base.yaml"
        resources:
            mem_mb=1500,
        params:
            thresholds=drum_backends.thresholds(DRUMS, TRANSCRIBE["thresholds"]),
            made_by=identity.made_by("drum_notes", thresholds=drum_backends.thresholds(DRUMS, TRANSCRIBE["thresholds"])),
        shell:
            "mirflow drum_notes {input.activations:q} --drums {input.drums:q} --drum-stems {input.drum_stems:q}"
            " --thresholds {params.thresholds}"
            " -o {output.notes:q} --record {input.record:q} {output.record:q} 2> {log:q}"

    rule drums_mid:
        "Write the notes of the drums as MIDI, with the tempi and bars of the grids."
        input:
            notes=TRACK.drum_notes,
            beats=TRACK.grid("beats"),
            downbeats=TRACK.grid("downbeats"),
        output:
            TRACK.drums_midi,
        log:
            "<logs>/{parent}{name}/drums_mid.log",
        benchmark:
            "<benchmarks>/{parent}{name}/drums_mid.jsonl"
        priority: 40
        conda:
            "../envs/base.yaml"
        resources:
            mem_mb=300,
        params:
            made_by=identity.made_by("drums_mid"),
        shell:
            "mirflow drums_mid {input.notes:q} --beats {input.beats:q} --downbeats {input.downbeats:q} -o {output:q}"
            " 2> {log:q}"

    rule drums_quantised_mid:
        "Write the notes of the drums as MIDI, moved to equal steps of the beats (with transcribe.quantise)."
        input:
            notes=TRACK.drum_notes,
            beats=TRACK.grid("beats"),
            downbeats=TRACK.grid("downbeats"),
        output:
            TRACK.drums_quantised_midi,
        log:
            "<logs>/{parent}{name}/drums_quantised_mid.log",
        benchmark:
            "<benchmarks>/{parent}{name}/drums_quantised_mid.jsonl"
        priority: 40
        conda:
            "../envs/base.yaml"
        resources:
            mem_mb=300,
        params:
            steps=TRANSCRIBE["quantise"] or DEFAULT_STEPS,
            made_by=identity.made_by("drums_mid", steps=TRANSCRIBE["quantise"] or DEFAULT_STEPS),
        shell:
            "mirflow drums_mid {input.notes:q} --beats {input.beats:q} --downbeats {input.downbeats:q}"
            " --steps {params.steps} -o {output:q} 2> {log:q}"

    rule drums_wav:
        "Write the track on the left and its drum notes on the right, to listen to (only when asked for)."
        input:
            full_mix=TRACK.full_mix,
            notes=TRACK.drum_notes,
        output:
            TRACK.drums_audio,
        log:
            "<logs>/{parent}{name}/drums_wav.log",
        benchmark:
            "<benchmarks>/{parent}{name}/drums_wav.jsonl"
        conda:
            "../envs/base.yaml"
        resources:
            mem_mb=1500,
        params:
            made_by=identity.made_by("drums_wav"),
        shell:
            "mirflow drums_wav {input.full_mix:q} --notes {input.notes:q} -o {output:q} 2> {log:q}"

    rule drums_png:
        "Draw the drum notes over the spectrogram of the drums stem (only when asked for)."
        input:
            drums=TRACK.stem("drums"),
            notes=TRACK.drum_notes,
            beats=TRACK.grid("beats"),
            downbeats=TRACK.grid("downbeats"),
        output:
            report(
                TRACK.drums_plot,
                caption="captions/drums.rst",
                category="Tracks",
                subcategory="{parent}{name}",
                labels={"picture": "drums"},
            ),
        log:
            "<logs>/{parent}{name}/drums_png.log",
        benchmark:
            "<benchmarks>/{parent}{name}/drums_png.jsonl"
        conda:
            "../envs/base.yaml"
        resources:
            mem_mb=2000,
        params:
            made_by=identity.made_by("drums_png"),
        shell:
            "mirflow drums_png {input.drums:q} --notes {input.notes:q} --beats {input.beats:q}"
            " --downbeats {input.downbeats:q} -o {output:q} 2> {log:q}"


if TRANSCRIBE["bass"] != "none":

    rule bass_notes:
        "Find the notes of the bass line in the bass stem."
        input:
            TRACK.stem("bass"),
        output:
            TRACK.bass_notes,
        log:
            "<logs>/{parent}{name}/bass_notes.log",
        benchmark:
            "<benchmarks>/{parent}{name}/bass_notes.jsonl"
        priority: 30
        conda:
            "../envs/base.yaml"
        resources:
            mem_mb=2500,
        params:
            made_by=identity.made_by("bass_notes"),
        shell:
            "mirflow bass_notes {input:q} -o {output:q} 2> {log:q}"

    rule bass_mid:
        "Write the notes of the bass line as MIDI, with the tempi and bars of the grids."
        input:
            notes=TRACK.bass_notes,
            beats=TRACK.grid("beats"),
            downbeats=TRACK.grid("downbeats"),
        output:
            TRACK.bass_midi,
        log:
            "<logs>/{parent}{name}/bass_mid.log",
        benchmark:
            "<benchmarks>/{parent}{name}/bass_mid.jsonl"
        priority: 40
        conda:
            "../envs/base.yaml"
        resources:
            mem_mb=300,
        params:
            made_by=identity.made_by("bass_mid"),
        shell:
            "mirflow bass_mid {input.notes:q} --beats {input.beats:q} --downbeats {input.downbeats:q} -o {output:q}"
            " 2> {log:q}"
