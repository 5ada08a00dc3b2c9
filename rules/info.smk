# Needs:  the fragments of all features that are not skipped, and the records of the other steps
# Makes:  <name>.INFO, merged; keys of other programs in it are kept

from snakemake.persistence import FileBackupMixin

# Before it updates an output Snakemake copies it, and when the job fails it writes the copy back over it, or removes it
# where it has none. So a full disk could leave half an .INFO, keys that somebody added meanwhile would be lost, and a
# clock that was set back deleted the file. The merge is atomic: after a failure there is nothing to be put back.
FileBackupMixin.backup_output = lambda *_: None
FileBackupMixin.restore_output = lambda *_: True

WANTED = [name for name in (*registry.feature_names(), *HEADS, *AESTHETICS) if name not in config["skip"]]
# What an earlier run with other settings may have tried: its failures are none any more.
HEARD = {heads.head_entry(name)["network"] for name in HEADS if name in WANTED}
UNMADE = [feature.name for feature in registry.all_features() if feature.name not in WANTED]
UNMADE += [f"embedding_{network}" for network in networks.names() if network not in HEARD]


rule info:
    input:
        source="<results>/{parent}{name}/source.json",
        stems="<results>/{parent}{name}/stems.json",
        beats="<results>/{parent}{name}/rhythm/beats.json",
        grids=[INPUT_FILES[grid] for grid in registry.GRIDS],
        fragments=[f"<results>/{{parent}}{{name}}/features/{name}.json" for name in WANTED],
        texts="<results>/{parent}{name}/features/music_flamingo.json" if DESCRIBING else [],
    output:
        info=update("<results>/{parent}{name}/{name}.INFO"),
        # When the last merge succeeded. The .INFO itself cannot tell: it outlives a failed merge, and people edit it.
        merged=touch("<results>/.mirflow/merged/{parent}{name}/done"),
    log:
        "<logs>/{parent}{name}/info.log",
    benchmark:
        "<benchmarks>/{parent}{name}/info.jsonl"
    priority: 50
    conda:
        "../envs/base.yaml"
    resources:
        mem_mb=200,
    shell:
        "mirflow info {input.fragments:q} {input.texts:q} --record source {input.source:q} --record stems {input.stems:q}"
        " --record beats {input.beats:q}"
        " -o {output.info:q} 2> {log:q}"
