# Needs:  full_mix.flac, or a stem, and the files of the models
# Makes:  labels/<network>.npz, the output of a network, and labels/<network>.<stem>.npz, that for a stem. The heads that
#         read it are features (rules/features.smk).
#
# Networks and heads are entries of config/models.yaml; labels.backend and labels.optional select the heads.

from mirflow.labels import embedding, encoders

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

ENCODED = sorted({name for name, _ in map(embedding.of_stem, NETWORKS) if "encoder" in embedding.network_entry(name)})

for heard in NETWORKS:
    network, stem = embedding.of_stem(heard)
    ENTRY = embedding.network_entry(network)
    ENCODER = ENTRY.get("encoder")  # None: Essentia runs it
    DEVICE = config["labels"]["encoder_device" if ENCODER else "device"]

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
        # Each encoder has its own priority, so that a run loads each model once; they come last, since
        # usually no other step waits for them.
        priority: 1 + ENCODED.index(network) if ENCODER else 20
        conda:
            "../envs/models.yaml" if ENCODER else "../envs/base.yaml"
        threads: accelerator.expected_threads(DEVICE) if ENCODER else 1
        resources:
            gpu=int(ENCODER is not None or DEVICE == "gpu"),
            mem_mb=encoders.module(ENCODER).MEMORY if ENCODER else 2000,  # measured for 20 minutes
        params:
            worker="--model" if ENCODER else "",
            network=network,
            device=DEVICE,
            stem=f"--stem {stem}" if stem else "",
            made_by=identity.made_by(
                f"embedding_{ENCODER}" if ENCODER else "embedding",
                network=network,
                model=catalogue.identity(network),
                entry=json.dumps(ENTRY),
                **({"stem": stem} if stem else {}),
            ),
        shell:
            "mirflow {params.worker} embedding {params.network} {input.full_mix:q} --model {input.model:q}"
            " --device {params.device} {params.stem} -o {output:q} 2> {log:q}"
