# Needs:  full_mix.flac; with beats.backend: beat_this its checkpoint
# Makes:  <name>.BEATS_GRID and <name>.DOWNBEATS from one set of activations, <name>.ONSETS; when asked for also
#         rhythm/beats.wav (clicks over the mix) and rhythm/beats.png (activations with the grid)

BEATS = config["beats"]

if BEATS["backend"] == "dsp":

    rule beat_activations:
        input:
            "<results>/{parent}{name}/full_mix.flac",
        output:
            activations="<results>/{parent}{name}/rhythm/beat_activations.npz",
            record="<results>/{parent}{name}/rhythm/beat_activations.json",
        log:
            "<logs>/{parent}{name}/beat_activations.log",
        benchmark:
            "<benchmarks>/{parent}{name}/beat_activations.jsonl"
        priority: 20
        conda:
            "../envs/base.yaml"
        resources:
            mem_mb=1900,
        params:
            backend="dsp",
            source=registry.module_identity("mirflow.beats"),
        shell:
            "mirflow beat_activations {input:q} -o {output.activations:q} --record {output.record:q} 2> {log:q}"

else:
    BEATS_THREADS = accelerator.expected_threads(BEATS["device"])

    rule beat_activations:
        input:
            full_mix="<results>/{parent}{name}/full_mix.flac",
            model=models.path(BEATS["model"]),
        output:
            activations="<results>/{parent}{name}/rhythm/beat_activations.npz",
            record="<results>/{parent}{name}/rhythm/beat_activations.json",
        log:
            "<logs>/{parent}{name}/beat_activations.log",
        benchmark:
            "<benchmarks>/{parent}{name}/beat_activations.jsonl"
        priority: 20
        conda:
            "../envs/models.yaml"
        threads: BEATS_THREADS
        resources:
            mem_mb=3000,
            gpu=1,
        params:
            backend="beat_this",
            entry=BEATS["model"],
            model=models.identity(BEATS["model"]),
            device=BEATS["device"],
            source=registry.module_identity("mirflow.beat_this"),
        shell:
            "mirflow --model beat_this {input.full_mix:q} --model {input.model:q} --entry {params.entry}"
            " --device {params.device} -o {output.activations:q} --record {output.record:q} 2> {log:q}"


rule beats_grid:
    input:
        activations="<results>/{parent}{name}/rhythm/beat_activations.npz",
        record="<results>/{parent}{name}/rhythm/beat_activations.json",
    output:
        grid="<results>/{parent}{name}/{name}.BEATS_GRID",
        record="<results>/{parent}{name}/rhythm/beats.json",
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
        source=registry.module_identity("mirflow.beats"),
    shell:
        "mirflow beats_grid {input.activations:q} --decoder {params.decoder} -o {output.grid:q}"
        " --record {input.record:q} {output.record:q} 2> {log:q}"


rule downbeats:
    input:
        "<results>/{parent}{name}/rhythm/beat_activations.npz",
    output:
        "<results>/{parent}{name}/{name}.DOWNBEATS",
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
        source=registry.module_identity("mirflow.beats"),
    shell:
        "mirflow downbeats {input:q} --decoder {params.decoder} -o {output:q} 2> {log:q}"


rule onsets:
    input:
        "<results>/{parent}{name}/full_mix.flac",
    output:
        "<results>/{parent}{name}/{name}.ONSETS",
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
        source=registry.module_identity("mirflow.dsp.onsets"),
    shell:
        "mirflow onsets {input:q} -o {output:q} 2> {log:q}"


rule beats_wav:
    input:
        full_mix="<results>/{parent}{name}/full_mix.flac",
        beats="<results>/{parent}{name}/{name}.BEATS_GRID",
        downbeats="<results>/{parent}{name}/{name}.DOWNBEATS",
    output:
        "<results>/{parent}{name}/rhythm/beats.wav",
    log:
        "<logs>/{parent}{name}/beats_wav.log",
    benchmark:
        "<benchmarks>/{parent}{name}/beats_wav.jsonl"
    conda:
        "../envs/base.yaml"
    resources:
        mem_mb=1500,
    shell:
        "mirflow beats_wav {input.full_mix:q} --beats {input.beats:q} --downbeats {input.downbeats:q} -o {output:q}"
        " 2> {log:q}"


rule beats_png:
    input:
        activations="<results>/{parent}{name}/rhythm/beat_activations.npz",
        beats="<results>/{parent}{name}/{name}.BEATS_GRID",
        downbeats="<results>/{parent}{name}/{name}.DOWNBEATS",
    output:
        "<results>/{parent}{name}/rhythm/beats.png",
    log:
        "<logs>/{parent}{name}/beats_png.log",
    benchmark:
        "<benchmarks>/{parent}{name}/beats_png.jsonl"
    conda:
        "../envs/base.yaml"
    resources:
        mem_mb=500,
    shell:
        "mirflow beats_png {input.activations:q} --beats {input.beats:q} --downbeats {input.downbeats:q} -o {output:q}"
        " 2> {log:q}"
