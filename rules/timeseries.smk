# Needs:  full_mix.flac, the stems, beat activations; with transcribe.drums also drum activations
# Makes:  <name>.TIMESERIES.npz, what is heard in each hundredth of a second (with the setting `timeseries`)

SERIES = config["timeseries"]
if not SERIES:
    UNMADE += ["timeseries"]


rule timeseries:
    "Measure the time series of a track."
    input:
        full_mix=TRACK.full_mix,
        stems=list(TRACK.stems.values()),
        activations=TRACK.beat_activations,
        drums=TRACK.drum_activations if DRUMS else [],
        levels=[TRACK.source_record, TRACK.stems_record],
    output:
        TRACK.timeseries,
    log:
        "<logs>/{parent}{name}/timeseries.log",
    benchmark:
        "<benchmarks>/{parent}{name}/timeseries.jsonl"
    priority: 40
    conda:
        "../envs/base.yaml"
    resources:
        mem_mb=5000,
    params:
        same_chroma="--same-chroma" if config["same_chroma"] else "",
        made_by=identity.made_by("timeseries", same_chroma=config["same_chroma"]),
    shell:
        "mirflow timeseries {input.full_mix:q} --stems {input.stems:q} --activations {input.activations:q}"
        " --drum-activations {input.drums:q} {params.same_chroma} -o {output:q} 2> {log:q}"
