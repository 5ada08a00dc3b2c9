# Needs:  the library
# Makes:  full_mix.flac, with the source's sampling rate and channels, and source.json, which describes the source


rule full_mix:
    "Decode a track to full_mix.flac, with the source's sampling rate and channels."
    input:
        source,
    output:
        full_mix=TRACK.full_mix,
        record=TRACK.source_record,
    log:
        "<logs>/{parent}{name}/full_mix.log",
    benchmark:
        "<benchmarks>/{parent}{name}/full_mix.jsonl"
    conda:
        "../envs/base.yaml"
    resources:
        mem_mb=500,
    params:
        source=lambda wildcards: str(known(wildcards)),
        made_by=lambda wildcards: identity.made_by(
            "full_mix", source=LIBRARY.relative(known(wildcards)), stamp=stamp(known(wildcards))
        ),
    shell:
        "mirflow full_mix {params.source:q} -o {output.full_mix:q} --record {output.record:q} 2> {log:q}"
