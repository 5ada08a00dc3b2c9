# Needs:  the music, below the setting `library`.
# Makes:  full_mix.flac, at the source's own rate and channels, and source.json, which says where it came from.


rule full_mix:
    input:
        source,
    output:
        full_mix="<results>/{parent}{name}/full_mix.flac",
        record="<results>/{parent}{name}/source.json",
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
        stamp=stamp,
    shell:
        "mirflow full_mix {params.source:q} -o {output.full_mix:q} --record {output.record:q} 2> {log:q}"
