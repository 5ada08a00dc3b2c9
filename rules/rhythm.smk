# Needs:  full_mix.flac; with beats.backend: beat_this a checkpoint
# Makes:  beat activations, from these <name>.BEATS_GRID and <name>.DOWNBEATS, and <name>.ONSETS; on request also
#         rhythm/beats.wav (clicks over the mix) and rhythm/beats.png (activations with the grid)

BEATS = config["beats"]
BEAT_MODEL = BEATS["model"] if BEATS["backend"] != "embedded" else ""  # name of the trained model in config/models.yaml


rule beat_activations:
    "Say for each frame of a track how likely it is a beat and a downbeat."
    input:
        full_mix=TRACK.full_mix,
        model=catalogue.path(BEAT_MODEL) if BEAT_MODEL else [],
    output:
        activations=TRACK.beat_activations,
        record=TRACK.beat_activations_record,
    log:
        "<logs>/{parent}{name}/beat_activations.log",
    benchmark:
        "<benchmarks>/{parent}{name}/beat_activations.jsonl"
    priority: 20
    conda:
        "../envs/models.yaml" if BEAT_MODEL else "../envs/base.yaml"
    threads: accelerator.expected_threads(BEATS["device"]) if BEAT_MODEL else 1
    resources:
        gpu=int(bool(BEAT_MODEL)),
        mem_mb=3000 if BEAT_MODEL else 1900,
    params:
        worker="--model" if BEAT_MODEL else "",
        backend=BEATS["backend"],
        trained=f"--entry {BEAT_MODEL} --device {BEATS['device']}" if BEAT_MODEL else "",
        made_by=identity.made_by(
            f"beat_activations_{BEATS['backend']}",
            **({"entry": BEAT_MODEL, "model": catalogue.identity(BEAT_MODEL)} if BEAT_MODEL else {}),
        ),
    shell:
        "mirflow {params.worker} beat_activations {input.full_mix:q} --backend {params.backend} {params.trained}"
        " --model {input.model:q} -o {output.activations:q} --record {output.record:q} 2> {log:q}"


rule beats_grid:
    "Read the beat grid from the activations."
    input:
        activations=TRACK.beat_activations,
        record=TRACK.beat_activations_record,
    output:
        grid=TRACK.grid("beats"),
        record=TRACK.beats_record,
    log:
        "<logs>/{parent}{name}/beats_grid.log",
    benchmark:
        "<benchmarks>/{parent}{name}/beats_grid.jsonl"
    priority: 30
    conda:
        "../envs/base.yaml"
    resources:
        mem_mb=500,
    params:
        decoder=BEATS["decoder"],
        made_by=identity.made_by("beats_grid", decoder=BEATS["decoder"]),
    shell:
        "mirflow beats_grid {input.activations:q} --decoder {params.decoder} -o {output.grid:q}"
        " --record {input.record:q} {output.record:q} 2> {log:q}"


rule downbeats:
    "Read the downbeats, a subset of the beat grid, from the activations."
    input:
        TRACK.beat_activations,
    output:
        TRACK.grid("downbeats"),
    log:
        "<logs>/{parent}{name}/downbeats.log",
    benchmark:
        "<benchmarks>/{parent}{name}/downbeats.jsonl"
    priority: 30
    conda:
        "../envs/base.yaml"
    resources:
        mem_mb=500,
    params:
        decoder=BEATS["decoder"],
        made_by=identity.made_by("downbeats", decoder=BEATS["decoder"]),
    shell:
        "mirflow downbeats {input:q} --decoder {params.decoder} -o {output:q} 2> {log:q}"


rule onsets:
    "Find the onsets of a track."
    input:
        TRACK.full_mix,
    output:
        TRACK.grid("onsets"),
    log:
        "<logs>/{parent}{name}/onsets.log",
    benchmark:
        "<benchmarks>/{parent}{name}/onsets.jsonl"
    priority: 20
    conda:
        "../envs/base.yaml"
    resources:
        mem_mb=2400,
    params:
        made_by=identity.made_by("onsets"),
    shell:
        "mirflow onsets {input:q} -o {output:q} 2> {log:q}"


rule beats_wav:
    "Write the track with a click on each beat, to listen to (only when asked for)."
    input:
        full_mix=TRACK.full_mix,
        beats=TRACK.grid("beats"),
        downbeats=TRACK.grid("downbeats"),
    output:
        TRACK.beats_audio,
    log:
        "<logs>/{parent}{name}/beats_wav.log",
    benchmark:
        "<benchmarks>/{parent}{name}/beats_wav.jsonl"
    conda:
        "../envs/base.yaml"
    resources:
        mem_mb=1500,
    params:
        made_by=identity.made_by("beats_wav"),
    shell:
        "mirflow beats_wav {input.full_mix:q} --beats {input.beats:q} --downbeats {input.downbeats:q} -o {output:q}"
        " 2> {log:q}"


rule beats_png:
    "Draw the activations with the grid (only when asked for)."
    input:
        activations=TRACK.beat_activations,
        beats=TRACK.grid("beats"),
        downbeats=TRACK.grid("downbeats"),
    output:
        report(
            TRACK.beats_plot,
            caption="captions/beats.rst",
            category="Tracks",
            subcategory="{parent}{name}",
            labels={"picture": "beats"},
        ),
    log:
        "<logs>/{parent}{name}/beats_png.log",
    benchmark:
        "<benchmarks>/{parent}{name}/beats_png.jsonl"
    conda:
        "../envs/base.yaml"
    resources:
        mem_mb=500,
    params:
        made_by=identity.made_by("beats_png"),
    shell:
        "mirflow beats_png {input.activations:q} --beats {input.beats:q} --downbeats {input.downbeats:q} -o {output:q}"
        " 2> {log:q}"
