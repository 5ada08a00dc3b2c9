# Needs:  full_mix.flac and the stems
# Makes:  <name>.BEATS_GRID and <name>.DOWNBEATS from one set of activations, <name>.ONSETS from the mix.


rule beat_activations:
    input:
        full_mix="<results>/{parent}{name}/full_mix.flac",
        drums=f"<results>/{{parent}}{{name}}/drums.{STEM_FORMAT}",
        bass=f"<results>/{{parent}}{{name}}/bass.{STEM_FORMAT}",
        other=f"<results>/{{parent}}{{name}}/other.{STEM_FORMAT}",
        vocals=f"<results>/{{parent}}{{name}}/vocals.{STEM_FORMAT}",
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
    shell:
        "mirflow beat_activations {input.full_mix:q} --drums {input.drums:q} --bass {input.bass:q}"
        " --other {input.other:q} --vocals {input.vocals:q} -o {output:q} 2> {log:q}"


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
    shell:
        "mirflow onsets {input:q} -o {output:q} 2> {log:q}"
