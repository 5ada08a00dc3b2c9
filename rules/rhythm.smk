# Needs:  full_mix.flac
# Makes:  <name>.BEATS_GRID and <name>.DOWNBEATS from one set of activations, <name>.ONSETS from the mix.


rule beat_activations:
    input:
        "<results>/{parent}{name}/full_mix.flac",
    output:
        "<results>/{parent}{name}/rhythm/beat_activations.npz",
    log:
        "<logs>/{parent}{name}/beat_activations.log",
    benchmark:
        "<benchmarks>/{parent}{name}/beat_activations.jsonl"
    priority: 20
    conda:
        "../envs/base.yaml"
    params:
        backend=config["beats"]["backend"],
        source=registry.module_identity("mirflow.beats"),
    shell:
        "mirflow beat_activations {input:q} -o {output:q} 2> {log:q}"


rule beats_grid:
    input:
        "<results>/{parent}{name}/rhythm/beat_activations.npz",
    output:
        "<results>/{parent}{name}/{name}.BEATS_GRID",
    log:
        "<logs>/{parent}{name}/beats_grid.log",
    benchmark:
        "<benchmarks>/{parent}{name}/beats_grid.jsonl"
    priority: 30
    conda:
        "../envs/base.yaml"
    params:
        decoder=config["beats"]["decoder"],
        source=registry.module_identity("mirflow.beats"),
    shell:
        "mirflow beats_grid {input:q} --decoder {params.decoder} -o {output:q} 2> {log:q}"


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
    params:
        decoder=config["beats"]["decoder"],
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
    params:
        source=registry.module_identity("mirflow.dsp.onsets"),
    shell:
        "mirflow onsets {input:q} -o {output:q} 2> {log:q}"
