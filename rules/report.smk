# Needs:  the .INFO of all tracks that are complete; for the page also their mixes, stems, grids and crops
# Makes:  statistics.json: statistics of every key, and what to decide about the library; overview.json of each track, what
#         the page draws of it; report.html, the page that shows both

from mirflow.report.page import build as report_page


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


rule overview:
    "Measure what the report draws of a track (only for the report)."
    input:
        full_mix=TRACK.full_mix,
        stems=list(TRACK.stems.values()),
        beats=TRACK.grid("beats"),
        downbeats=TRACK.grid("downbeats"),
        crops=TRACK.crops if CROPPING else [],
        levels=[TRACK.source_record, TRACK.stems_record],
    output:
        TRACK.overview,
    log:
        "<logs>/{parent}{name}/overview.log",
    benchmark:
        "<benchmarks>/{parent}{name}/overview.jsonl"
    conda:
        "../envs/base.yaml"
    resources:
        mem_mb=3000,
    params:
        made_by=identity.made_by("overview"),
    shell:
        "mirflow overview {input.full_mix:q} --stems {input.stems:q} --beats {input.beats:q}"
        " --downbeats {input.downbeats:q} --crops {input.crops:q} -o {output:q} 2> {log:q}"


rule overviews:
    "Measure what the report draws of all tracks: `make report` asks for it, batch by batch."
    input:
        overviews,
    localrule: True


rule report:
    "Make the page that shows the library."
    input:
        statistics=layout.statistics("<results>"),
        info=complete,
        overviews=overviews,
    output:
        report(
            layout.report("<results>"),
            caption="captions/library.rst",
            category="Library",
            labels={"page": "report.html"},
        ),
    log:
        "<logs>/.library/report.log",
    benchmark:
        "<benchmarks>/.library/report.jsonl"
    conda:
        "../envs/base.yaml"
    resources:
        mem_mb=2000,
    params:
        results=lambda wildcards: RESULTS,
        stem_format=config["stems"]["format"],
        made_by=identity.made_by("report", page=report_page.digest(), stem_format=config["stems"]["format"]),
    shell:
        "mirflow report {input.statistics:q} --results {params.results:q} --stem-format {params.stem_format}"
        " -o {output:q} 2> {log:q}"


rule pictures:
    "Collect what was drawn, for Snakemake's own report: snakemake --report report.zip pictures."
    input:
        drawn,
    localrule: True
