# Needs:  the fragments of all features that are wanted, and the records of the other steps
# Makes:  <name>.INFO; keys that other programs have put into it are kept

# Steps that earlier runs with other settings may have tried: their failures do not count any more.
UNMADE = [feature.name for feature in features.all_features() if feature not in WANTED]
UNMADE += [name for name in settings.METADATA if name in config["skip"]]
UNMADE += [] if LOOKING_UP else ["lookup"]
EMBEDDINGS = {
    name for feature in features.all_features() for name in feature.inputs if name.startswith(layout.EMBEDDING)
}
EMBEDDINGS = {name.removeprefix(layout.EMBEDDING) for name in EMBEDDINGS} | set(embedding.names())
UNMADE += [f"embedding_{name.replace('.', '_')}" for name in EMBEDDINGS.difference(NETWORKS)]


rule info:
    "Merge the fragments of a track into its .INFO."
    input:
        source=TRACK.source_record,
        stems=TRACK.stems_record,
        beats=TRACK.beats_record,
        drums=TRACK.drums_record if DRUMS else [],
        grids=[TRACK.grid(grid) for grid in layout.GRIDS],
        fragments=[TRACK.fragment(feature.name) for feature in WANTED],
        metadata=[TRACK.metadata(name) for name in METADATA],
        texts=TRACK.fragment(fragment.NAME) if DESCRIBING else [],
    output:
        info=update(TRACK.info),
        # Says when the last merge succeeded. The .INFO cannot: it stays after a failed merge, and people edit it. Nor can
        # an empty file: to Snakemake it is as it was, so a later run would not do again what a merge makes necessary.
        merged=layout.merge_stamp(RESULTS),
    log:
        "<logs>/{parent}{name}/info.log",
    benchmark:
        "<benchmarks>/{parent}{name}/info.jsonl"
    priority: 50
    conda:
        "../envs/base.yaml"
    resources:
        mem_mb=200,
    params:
        drums="--record drums" if DRUMS else "",
        made_by=identity.made_by("info"),
    shell:
        "mirflow info {input.fragments:q} {input.metadata:q} {input.texts:q} --record source {input.source:q}"
        " --record stems {input.stems:q} --record beats {input.beats:q} {params.drums} {input.drums:q}"
        " --stamp {output.merged:q} -o {output.info:q} 2> {log:q}"
