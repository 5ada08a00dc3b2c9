# Needs:  what each feature declares: full_mix, stems, grids, an embedding, the files of a model
# Makes:  features/<feature>.json, with one rule for each module in scripts/mirflow/features, and for each head of
#         config/models.yaml that the settings ask for

from mirflow.labels import heads

# Skipped features keep their rules, so that their files can still be requested by name.
for feature in [one for one in features.all_features() if one in WANTED or not one.on_request]:
    SOUNDS = sum(name == "full_mix" or name in layout.STEMS for name in feature.inputs)
    CHOSEN = feature.chosen(config)
    IS_HEAD = feature.name in heads.names()
    CLASSES = heads.classes_identity(feature.name) if IS_HEAD else ""

    rule:
        name:
            f"feature_{feature.name}"
        input:
            measured=[TRACK.input(name) for name in feature.inputs],
            model=[path for model in feature.models for path in catalogue.path(model)],
        output:
            TRACK.fragment(feature.name),
        log:
            f"<logs>/{{parent}}{{name}}/feature_{feature.name}.log",
        benchmark:
            f"<benchmarks>/{{parent}}{{name}}/feature_{feature.name}.jsonl"
        # Each feature that uses the GPU has its own priority, so that a run loads each model once.
        priority: 15 - [other.name for other in WANTED if other.gpu].index(feature.name) if feature.gpu else 40
        conda:
            f"../envs/{feature.environment}.yaml"
        threads: accelerator.expected_threads(CHOSEN["device"]) if feature.gpu else 1
        resources:
            gpu=int(feature.gpu),
            # Measured for 20 minutes of 44.1 kHz stereo.
            mem_mb=feature.memory or 500 + 1650 * (SOUNDS > 0) + 550 * SOUNDS,
        params:
            worker="--model" if feature.gpu else "",
            command=f"feature_{feature.name}",
            settings=settings.options(feature, config),
            device=f"--device {CHOSEN['device']}" if feature.gpu else "",
            made_by=identity.made_by(
                "feature_head" if IS_HEAD else f"feature_{feature.name}",
                settings=settings.options(feature, config),
                **({"model": " ".join(map(catalogue.identity, feature.models))} if feature.models else {}),
                **({"entry": json.dumps(heads.head_entry(feature.name))} if IS_HEAD else {}),
                **({"classes": CLASSES} if CLASSES else {}),
            ),
        # The same text for all: Snakemake evaluates it when the job runs, when `feature` is the last one of the loop.
        shell:
            "mirflow {params.worker} {params.command} {input.measured:q} {params.settings} {params.device}"
            " --model {input.model:q} -o {output:q} 2> {log:q}"
