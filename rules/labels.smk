# Needs:  full_mix.flac, or a stem, and the files of the models
# Makes:  labels/<network>.npz, the output of a network, and labels/<network>.<stem>.npz, that for a stem. The heads that read it are features (rules/features.smk).
#
# Networks and heads are entries of config/models.yaml; labels.backend and labels.optional select the heads.

from mirflow.labels import embedding

KEPT_EMBEDDINGS = config["labels"]["embeddings"]  # asked for by themselves

# Only the networks that the selected heads read: each further rule slows down every look-up of a file's rule.
NETWORKS = sorted(
    {
        name.removeprefix(layout.EMBEDDING)
        for feature in WANTED
        for name in feature.inputs
        if name.startswith(layout.EMBEDDING)
    }
    | set(KEPT_EMBEDDINGS)
)

for heard in NETWORKS:
    network, stem = embedding.of_stem(heard)

    rule:
        name:
            f"embedding_{heard.replace('.', '_')}"
        input:
            full_mix=TRACK.input(stem or "full_mix"),
            model=catalogue.path(network),
        output:
            TRACK.embedding(heard),
        log:
            f"<logs>/{{parent}}{{name}}/embedding_{heard.replace('.', '_')}.log",
        benchmark:
            f"<benchmarks>/{{parent}}{{name}}/embedding_{heard.replace('.', '_')}.jsonl"
        priority: 20
        conda:
            "../envs/base.yaml"
        resources:
            gpu=int(config["labels"]["device"] == "gpu"),
            mem_mb=2000,  # measured for 20 minutes
        params:
            network=network,
            device=config["labels"]["device"],
            stem=f"--stem {stem}" if stem else "",
            made_by=identity.made_by(
                "embedding",
                network=network,
                model=catalogue.identity(network),
                entry=json.dumps(embedding.network_entry(network)),
                **({"stem": stem} if stem else {}),
            ),
        shell:
            "mirflow embedding {params.network} {input.full_mix:q} --model {input.model:q} --device {params.device}"
            " {params.stem} -o {output:q} 2> {log:q}"
