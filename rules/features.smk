# Needs:  what each feature declares: full_mix, stems, grids
# Makes:  features/<feature>.json, one rule per module in scripts/mirflow/features

INPUT_FILES = {
    "full_mix": "<results>/{parent}{name}/full_mix.flac",
    **{stem: f"<results>/{{parent}}{{name}}/{stem}.{STEM_FORMAT}" for stem in registry.STEMS},
    "beats": "<results>/{parent}{name}/{name}.BEATS_GRID",
    "downbeats": "<results>/{parent}{name}/{name}.DOWNBEATS",
    "onsets": "<results>/{parent}{name}/{name}.ONSETS",
}

for feature in registry.features():
    SOUNDS = sum(key not in registry.GRIDS for key in feature.inputs)

    rule:
        name:
            f"feature_{feature.name}"
        input:
            **{key: INPUT_FILES[key] for key in feature.inputs},
        output:
            f"<results>/{{parent}}{{name}}/features/{feature.name}.json",
        log:
            f"<logs>/{{parent}}{{name}}/feature_{feature.name}.log",
        benchmark:
            f"<benchmarks>/{{parent}}{{name}}/feature_{feature.name}.jsonl"
        priority: 40
        conda:
            "../envs/base.yaml"
        resources:
            mem_mb=500 + 1650 * (SOUNDS > 0) + 550 * SOUNDS,  # measured for 20 minutes of 44.1 kHz stereo
        params:
            command=f"feature_{feature.name}",
            version=feature.version,
            source=registry.source_identity(feature.name),
            settings=settings.options(feature, config["features"]),
        # One text for all: an expression here would be evaluated when the job runs, with the loop's last feature.
        shell:
            "mirflow {params.command} {input:q} {params.settings} -o {output:q} 2> {log:q}"
