# Needs:  full_mix.flac
# Makes:  the four stems at the mix's rate, channels and length, in one job, and stems.json, which says how.

STEM_FORMAT = config["stems"]["format"]


rule stems:
    input:
        full_mix="<results>/{parent}{name}/full_mix.flac",
    output:
        drums=f"<results>/{{parent}}{{name}}/drums.{STEM_FORMAT}",
        bass=f"<results>/{{parent}}{{name}}/bass.{STEM_FORMAT}",
        other=f"<results>/{{parent}}{{name}}/other.{STEM_FORMAT}",
        vocals=f"<results>/{{parent}}{{name}}/vocals.{STEM_FORMAT}",
        record="<results>/{parent}{name}/stems.json",
    log:
        "<logs>/{parent}{name}/stems.log",
    benchmark:
        "<benchmarks>/{parent}{name}/stems.jsonl"
    priority: 10
    conda:
        "../envs/base.yaml"
    params:
        backend=config["stems"]["backend"],
        format=STEM_FORMAT,
        bitrate=config["stems"]["bitrate"],
    shell:
        "mirflow stems {input.full_mix:q} -o {output.drums:q} {output.bass:q} {output.other:q} {output.vocals:q}"
        " --record {output.record:q} --backend {params.backend} --format {params.format} --bitrate {params.bitrate}"
        " 2> {log:q}"
