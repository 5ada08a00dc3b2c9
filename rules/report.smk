# Needs:  the .INFO of all tracks that are complete
# Makes:  statistics.json: statistics of every key, and what to decide about the library


rule statistics:
    "Write statistics of all tracks, and what to decide about them."
    input:
        info=complete,
        tokenizer=TOKENIZER,
    output:
        layout.statistics("<results>"),
    log:
        "<logs>/.library/statistics.log",
    benchmark:
        "<benchmarks>/.library/statistics.jsonl"
    conda:
        "../envs/flamingo.yaml" if TOKENIZER else "../envs/base.yaml"
    threads: 4
    resources:
        mem_mb=2000,
    params:
        results=lambda wildcards: RESULTS,
        only=config["only"],
        skip=UNMADE,
        crops="--crops" if CROPPING else "",
        tokens=config["export"]["tokens"],
        made_by=identity.made_by("statistics", tokens=config["export"]["tokens"], numbers=DECLARED, tracks=len(TAKEN)),
    shell:
        "mirflow statistics --results {params.results:q} --only {params.only:q} --skip {params.skip:q} {params.crops}"
        " --tokens {params.tokens} --tokenizer {input.tokenizer:q} --threads {threads} -o {output:q} 2> {log:q}"
