# Needs:  the music, below the setting `library`.
# Makes:  full_mix.flac, at the source's own rate and channels, and source.json, which says where it came from.

from mirflow import library

try:
    LIBRARY = library.scan(settings.path(config["library"]), exclude=RESULTS)
except MirflowError as error:
    raise WorkflowError(str(error))


def known(wildcards):
    track = wildcards.parent + wildcards.name
    if track not in LIBRARY.tracks:
        raise WorkflowError(f"no track {track!r} in the library {LIBRARY.root}")
    return LIBRARY.tracks[track]


def source(wildcards):
    """The source of a track as an input; nothing where Snakemake would read its name as a pattern (see `stamp`)."""
    path = known(wildcards)
    return [] if library.reads_as_pattern(path) else str(path)


def stamp(wildcards):
    """Size and time of change of a source that cannot be an input: a changed one is made again all the same."""
    path = known(wildcards)
    return f"{path.stat().st_size} {path.stat().st_mtime_ns}" if library.reads_as_pattern(path) else ""


rule full_mix:
    input:
        source,
    output:
        full_mix="<results>/{parent}{name}/full_mix.flac",
        record="<results>/{parent}{name}/source.json",
    log:
        "<logs>/{parent}{name}/full_mix.log",
    benchmark:
        "<benchmarks>/{parent}{name}/full_mix.jsonl"
    conda:
        "../envs/base.yaml"
    params:
        source=lambda wildcards: str(known(wildcards)),
        stamp=stamp,
    shell:
        "{MIRFLOW} full_mix {params.source:q} -o {output.full_mix:q} --record {output.record:q} 2> {log:q}"
