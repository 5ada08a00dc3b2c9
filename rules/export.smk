# Needs:  the .INFO and the sounds of all tracks that are complete (of their crops, if the settings make crops)
# Makes:  for each module of scripts/mirflow/export/targets the rule export_<target>: a tree of files for a trainer, in
#         <results>/.export/<target> or export.out. And the tables of the library: library.parquet, library.csv,
#         labels.parquet, crops.parquet

from mirflow.export import numbers, targets
from mirflow.workflow import exports

EXPORT = {name: value for name, value in config["export"].items() if name != "out"} | {"crops": CROPPING}
try:
    PLACES = {name: exports.place(RESULTS, name, config) for name in targets.names()}
except MirflowError as error:
    raise WorkflowError(str(error))
# What features declare of their numbers decides the ranges of conditioners.
DECLARED = json.dumps({key: [field.bounds, field.range] for key, field in numbers.declared().items()})


for target in targets.names():

    rule:
        name:
            f"export_{target}"
        input:
            info=complete,
            sounds=sounds,
            tokenizer=TOKENIZER,
        output:
            # The earlier export stays until the new one is whole.
            update(exports.report(PLACES[target])),
        log:
            f"<logs>/.export/{target}.log",
        benchmark:
            f"<benchmarks>/.export/{target}.jsonl"
        conda:
            "../envs/flamingo.yaml" if TOKENIZER else "../envs/base.yaml"
        threads: 8
        resources:
            mem_mb=2000,
        params:
            results=lambda wildcards: RESULTS,
            only=config["only"],
            target=target,
            place=lambda wildcards, output: os.path.dirname(output[0]),
            settings=json.dumps(EXPORT),
            skip=UNMADE,
            made_by=identity.made_by(
                f"export_{target}",
                settings=json.dumps(EXPORT, sort_keys=True),
                numbers=DECLARED,
                tracks=len(TAKEN),
            ),
        shell:
            "mirflow export {params.target} --results {params.results:q} --only {params.only:q}"
            " --settings {params.settings:q} --skip {params.skip:q} --tokenizer {input.tokenizer:q} --threads {threads}"
            " -o {params.place:q} 2> {log:q}"


rule tables:
    "Write the tables of the library."
    input:
        info=complete,
    output:
        [f"<results>/{name}" for name in ("library.parquet", "library.csv", "labels.parquet")],
        "<results>/crops.parquet" if CROPPING else [],
    log:
        "<logs>/.export/tables.log",
    benchmark:
        "<benchmarks>/.export/tables.jsonl"
    conda:
        "../envs/base.yaml"
    resources:
        mem_mb=2000,
    params:
        results=lambda wildcards: RESULTS,
        only=config["only"],
        skip=UNMADE,
        crops="--crops" if CROPPING else "",
        made_by=identity.made_by("tables", tracks=len(TAKEN)),
    shell:
        "mirflow tables --results {params.results:q} --only {params.only:q} --skip {params.skip:q} {params.crops}"
        " -o {params.results:q} 2> {log:q}"
