# Needs:  full_mix.flac, the files of the models
# Makes:  labels/<network>.npz, what a network hears, once a track; features/<head>.json from it, one rule per head.
#
# Networks and heads are entries of config/models.yaml. labels.backend and labels.optional say which fragments go into .INFO.

from mirflow import networks
from mirflow.model_features import heads

try:
    HEADS = heads.chosen(config["labels"]["backend"], config["labels"]["optional"])
except MirflowError as error:
    raise WorkflowError(str(error))

# Only what is asked for has rules: every rule more makes each look-up of a file's rule slower.
for network in sorted({heads.head_entry(name)["network"] for name in HEADS}):

    rule:
        name:
            f"embedding_{network}"
        input:
            full_mix="<results>/{parent}{name}/full_mix.flac",
            model=models.path(network),
        output:
            f"<results>/{{parent}}{{name}}/labels/{network}.npz",
        log:
            f"<logs>/{{parent}}{{name}}/embedding_{network}.log",
        benchmark:
            f"<benchmarks>/{{parent}}{{name}}/embedding_{network}.jsonl"
        priority: 20
        conda:
            "../envs/base.yaml"
        resources:
            gpu=int(config["labels"]["device"] == "gpu"),
            mem_mb=2000,  # of 20 minutes
        params:
            network=network,
            device=config["labels"]["device"],
            version=networks.VERSION,
            model=models.identity(network),
            entry=json.dumps(networks.network_entry(network)),
        shell:
            "mirflow embedding {params.network} {input.full_mix:q} --device {params.device} -o {output:q} 2> {log:q}"


for head in [head for head in heads.features() if head.name in HEADS]:

    rule:
        name:
            f"feature_{head.name}"
        input:
            embedding=f"<results>/{{parent}}{{name}}/labels/{head.models[0]}.npz",
            model=models.path(head.name),
        output:
            f"<results>/{{parent}}{{name}}/features/{head.name}.json",
        log:
            f"<logs>/{{parent}}{{name}}/feature_{head.name}.log",
        benchmark:
            f"<benchmarks>/{{parent}}{{name}}/feature_{head.name}.jsonl"
        priority: 40
        conda:
            "../envs/base.yaml"
        resources:
            mem_mb=500,
        params:
            head=head.name,
            version=head.version,
            source=registry.module_identity("mirflow.model_features.heads"),
            model=models.identity(head.name),
            entry=json.dumps(heads.head_entry(head.name)),
            settings=heads.options(head, config["labels"]),
        shell:
            "mirflow head {params.head} {input.embedding:q} {params.settings} -o {output:q} 2> {log:q}"
