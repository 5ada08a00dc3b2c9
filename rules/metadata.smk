# Needs:  the source of a track, and its full_mix.flac
# Makes:  metadata/tags.json and metadata/fingerprint.json, two fragments; for all tracks together duplicates.tsv, and the
#         keys duplicate_group and split in every .INFO

from mirflow.metadata import alike, fingerprint, lookup, tags

METADATA = [name for name in (tags.NAME, fingerprint.NAME) if name not in config["skip"]]
SPLIT_OPTIONS = " ".join(f"--{name} {value}" for name, value in sorted(config["split"].items()))
LOOKING_UP = config["metadata"]["lookup"] != "none"
RELATING = "duplicates" not in config["skip"]
COMPARING = alike.NETWORK in NETWORKS  # what tracks sound like, too
RELATE_OPTIONS = " ".join([SPLIT_OPTIONS, *["--embeddings"] * COMPARING])
MERGED = [layout.merge_stamp(RESULTS, track) for track in TAKEN]
# Also after all crops, whose .INFO files inherit both keys.
MERGED += [layout.crops_stamp(RESULTS, track) for track in TAKEN if config["crops"]["mode"] != "none"]
MERGED += [layout.track_files(RESULTS, track).metadata(lookup.NAME) for track in TAKEN if LOOKING_UP]
MERGED += [layout.track_files(RESULTS, track).embedding(alike.NETWORK) for track in TAKEN if COMPARING]
if LIBRARY_ONLY:
    MERGED = [path for path in MERGED if os.path.exists(path)]


rule tags:
    "Read the tags of a source file."
    input:
        # It changes with the source, and says what kind of file that is.
        record=TRACK.source_record,
    output:
        TRACK.metadata(tags.NAME),
    log:
        "<logs>/{parent}{name}/tags.log",
    benchmark:
        "<benchmarks>/{parent}{name}/tags.jsonl"
    priority: 40
    conda:
        "../envs/base.yaml"
    resources:
        mem_mb=500,
    params:
        source=lambda wildcards: str(known(wildcards)),
        made_by=identity.made_by("tags"),
    shell:
        "mirflow tags {params.source:q} --record {input.record:q} -o {output:q} 2> {log:q}"


rule fingerprint:
    "Make the acoustic fingerprint of a track."
    input:
        full_mix=TRACK.full_mix,
    output:
        TRACK.metadata(fingerprint.NAME),
    log:
        "<logs>/{parent}{name}/fingerprint.log",
    benchmark:
        "<benchmarks>/{parent}{name}/fingerprint.jsonl"
    priority: 40
    conda:
        "../envs/base.yaml"
    resources:
        mem_mb=1500,  # measured for 20 minutes
    params:
        made_by=identity.made_by("fingerprint"),
    shell:
        "mirflow fingerprint {input.full_mix:q} -o {output:q} 2> {log:q}"


# Apart from the rule info, so that a service which cannot be reached fails this alone.
rule lookup:
    "Ask MusicBrainz, and AcoustID if wanted, about a track, and write what is certain into its .INFO."
    input:
        tags=TRACK.metadata(tags.NAME),
        fingerprint=[TRACK.metadata(name) for name in METADATA if name == fingerprint.NAME],
        record=TRACK.source_record,
        merged=layout.merge_stamp(RESULTS),
        # Only for the order: what is looked up is handed down to the crops.
        crops=ancient(layout.crops_stamp(RESULTS)) if config["crops"]["mode"] != "none" else [],
    output:
        TRACK.metadata(lookup.NAME),
    log:
        "<logs>/{parent}{name}/lookup.log",
    benchmark:
        "<benchmarks>/{parent}{name}/lookup.jsonl"
    priority: 55
    # On a cluster too, since all requests of a machine take turns.
    localrule: True
    conda:
        "../envs/base.yaml"
    resources:
        lookups=1,
        mem_mb=200,
    params:
        service=config["metadata"]["lookup"],
        cache=layout.own(RESULTS, "metadata"),
        results=lambda wildcards: RESULTS,
        track=lambda wildcards: wildcards.parent + wildcards.name,
        made_by=lambda wildcards: identity.made_by("lookup", service=config["metadata"]["lookup"], **due(wildcards)),
    shell:
        "mirflow lookup {input.tags:q} --fingerprint {input.fingerprint:q} --record {input.record:q}"
        " --service {params.service} --cache {params.cache:q} --results {params.results:q} --track {params.track:q}"
        " -o {output:q} 2> {log:q}"


# When all is merged. A track that failed keeps this rule from running, so the end of a run does the same (Snakefile), and
# `mirflow run` starts a process of Snakemake for it after the last batch.
rule duplicates:
    "Find tracks that are the same recording, and split the library into train, validation and test."
    input:
        MERGED,
    output:
        layout.duplicates_table("<results>"),
    log:
        "<logs>/.library/duplicates.log",
    benchmark:
        "<benchmarks>/.library/duplicates.jsonl"
    conda:
        "../envs/base.yaml"
    resources:
        mem_mb=500 + len(TAKEN) // 100 + COMPARING * len(TAKEN) // 70,  # measured with 100 000 tracks
    params:
        results=lambda wildcards: RESULTS,
        options=RELATE_OPTIONS,
        made_by=identity.made_by("duplicates", *["alike"] * COMPARING, split=SPLIT_OPTIONS),
    shell:
        "mirflow duplicates {params.results:q} {params.options} 2> {log:q}"
