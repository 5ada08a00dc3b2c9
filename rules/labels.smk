# Needs:  full_mix.flac, the files of the models
# Makes:  labels/<network>.npz, the output of a network. The heads that read it are features (rules/features.smk).
#
# Networks and heads are entries of config/models.yaml; labels.backend and labels.optional select the heads.

from mirflow.labels import embedding

# Only the networks that the selected heads read: each further rule slows down every look-up of a file's rule.
NETWORKS = sorted(
    {
        name.removeprefix(layout.EMBEDDING)
        for feature in WANTED
        for name in feature.inputs
        if name.startswith(layout.EMBEDDING)
    }
)

for network in NETWORKS:

    rule:
        name:
            f"embedding_{network}"
        input:
            full_mix=TRACK.full_mix,
            model=catalogue.path(network),
        output:
            TRACK.embedding(network),
        log:
            f"<logs>/{{parent}}{{name}}/embedding_{network}.log",
        benchmark:
            f"<benchmarks>/{{parent}}{{name}}/embedding_{network}.jsonl"
        priority: 20
        conda:
            "../envs/base.yaml"
        resources:
            gpu=int(config["labels"]["device"] == "gpu"),
            mem_mb=2000,  # measured for 20 minutes
        params:
            network=network,
            device=config["labels"]["device"],
            made_by=identity.made_by(
                "embedding",
                network=network,
                model=catalogue.identity(network),
                entry=json.dumps(embedding.network_entry(network)),
            ),
        shell:
            "mirflow embedding {params.network} {input.full_mix:q} --model {input.model:q} --device {params.device}"
            " -o {output:q} 2> {log:q}"
