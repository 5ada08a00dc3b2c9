# Needs:  the fragments of all features that are not skipped, and the records of the other steps
# Makes:  <name>.INFO, merged; keys of other programs in it are kept

WANTED = [name for name in registry.feature_names() if name not in config["skip"]]


rule info:
    input:
        source="<results>/{parent}{name}/source.json",
        stems="<results>/{parent}{name}/stems.json",
        fragments=[f"<results>/{{parent}}{{name}}/features/{name}.json" for name in WANTED],
    output:
        update("<results>/{parent}{name}/{name}.INFO"),
    log:
        "<logs>/{parent}{name}/info.log",
    benchmark:
        "<benchmarks>/{parent}{name}/info.jsonl"
    conda:
        "../envs/base.yaml"
    shell:
        "{MIRFLOW} info {input.fragments:q} --record source {input.source:q} --record stems {input.stems:q}"
        " -o {output:q} 2> {log:q}"
