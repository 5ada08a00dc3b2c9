# Needs:  full_mix.flac; with stems.backend: demucs, roformer or scnet the files of a model
# Needs:  with transcribe.drum_stems: the files of that model
# Makes:  the four stems with the mix's sampling rate, channels and length, in one job, and stems.json, which says how;
#         on request full_mix_instrumental, the mix without its vocals

from mirflow.stems import trained

STEMS = config["stems"]
SEPARATOR = ""  # name of the trained model in config/models.yaml
EXTRA = []  # further stems
if STEMS["backend"] != "embedded":
    try:
        SEPARATOR = trained.entry(STEMS["backend"], STEMS["model"])
        EXTRA = trained.extra_stems(SEPARATOR) if STEMS["extra"] == "keep" else []
    except MirflowError as error:
        raise WorkflowError(str(error))
    ABOUT_SEPARATOR = {
        "entry": SEPARATOR,
        "about": json.dumps(catalogue.entry(SEPARATOR)["separator"]),
        "model": catalogue.identity(SEPARATOR),
        "running": " ".join(f"--{name} {STEMS[name]}" for name in trained.DEFAULTS),
    }


rule stems:
    "Separate a track into drums, bass, other and vocals."
    input:
        full_mix=TRACK.full_mix,
        model=catalogue.path(SEPARATOR) if SEPARATOR else [],
    output:
        **TRACK.stems,
        extra=[TRACK.stem(stem) for stem in EXTRA],
        record=TRACK.stems_record,
    log:
        "<logs>/{parent}{name}/stems.log",
    benchmark:
        "<benchmarks>/{parent}{name}/stems.jsonl"
    # No other rule that uses the GPU has this priority, so that a run loads each model once. It is higher than that of the
    # rules that need the mix alone, since more of the CPU's work waits for stems.
    priority: 25 if SEPARATOR else 10
    conda:
        "../envs/models.yaml" if SEPARATOR else "../envs/base.yaml"
    threads: accelerator.expected_threads(STEMS["device"]) if SEPARATOR else 1
    resources:
        gpu=int(bool(SEPARATOR)),
        # Measured for 20 minutes of 44.1 kHz stereo: 2.8 GB; with a trained separator 2.4 GB, and its network on the CPU
        # 0.8 GB (htdemucs) to 1.8 GB (bs_roformer_4stems, scnet_xl_ihf).
        mem_mb=5000 if SEPARATOR else 3000,
    params:
        worker="--model" if SEPARATOR else "",
        backend=STEMS["backend"],
        trained=f"--entry {SEPARATOR} --device {STEMS['device']} {ABOUT_SEPARATOR['running']}" if SEPARATOR else "",
        extra=(lambda wildcards, output: further(output.extra)) if EXTRA else "",
        format=STEMS["format"],
        bitrate=STEMS["bitrate"],
        made_by=identity.made_by(
            f"stems_{STEMS['backend']}",
            "stem_files",
            format=STEMS["format"],
            bitrate=STEMS["bitrate"],
            **(ABOUT_SEPARATOR if SEPARATOR else {}),
            **({"extra": " ".join(EXTRA)} if EXTRA else {}),
        ),
    shell:
        "mirflow {params.worker} stems {input.full_mix:q} -o {output.drums:q} {output.bass:q} {output.other:q}"
        " {output.vocals:q} {params.extra} --record {output.record:q} --format {params.format} --bitrate {params.bitrate}"
        " --backend {params.backend} {params.trained} --model {input.model:q} 2> {log:q}"


rule full_mix_instrumental:
    "Write the mix without its vocals (only when asked for)."
    input:
        stems=[TRACK.stem(stem) for stem in ("drums", "bass", "other")],
        record=TRACK.stems_record,
    output:
        TRACK.instrumental,
    log:
        "<logs>/{parent}{name}/full_mix_instrumental.log",
    benchmark:
        "<benchmarks>/{parent}{name}/full_mix_instrumental.jsonl"
    conda:
        "../envs/base.yaml"
    resources:
        mem_mb=2500,
    params:
        format=STEMS["format"],
        bitrate=STEMS["bitrate"],
        made_by=identity.made_by("full_mix_instrumental", format=STEMS["format"], bitrate=STEMS["bitrate"]),
    shell:
        "mirflow full_mix_instrumental {input.stems:q} --record {input.record:q} --format {params.format}"
        " --bitrate {params.bitrate} -o {output:q} 2> {log:q}"


# Name of the model in config/models.yaml that separates the drums stem, "" for none.
DRUM_STEMS = config["transcribe"]["drum_stems"] if config["transcribe"]["drum_stems"] != "none" else ""

if DRUM_STEMS:

    rule drum_stems:
        "Separate the drums stem into kick, snare, toms, hi-hat and cymbals."
        input:
            drums=TRACK.stem("drums"),
            model=catalogue.path(DRUM_STEMS),
        output:
            **TRACK.drum_stems,
            record=TRACK.drum_stems_record,
        log:
            "<logs>/{parent}{name}/drum_stems.log",
        benchmark:
            "<benchmarks>/{parent}{name}/drum_stems.jsonl"
        # No other rule that uses the GPU has this priority, so that a run loads each model once.
        priority: 26
        conda:
            "../envs/models.yaml"
        threads: accelerator.expected_threads(config["transcribe"]["device"])
        resources:
            gpu=1,
            mem_mb=6000,
        params:
            entry=DRUM_STEMS,
            device=config["transcribe"]["device"],
            made_by=identity.made_by("drum_stems", entry=DRUM_STEMS, model=catalogue.identity(DRUM_STEMS)),
        shell:
            "mirflow --model drum_stems {input.drums:q} --entry {params.entry} --device {params.device}"
            " --model {input.model:q} -o {output.kick:q} {output.snare:q} {output.tom:q} {output.hihat:q}"
            " {output.cymbal:q} --record {output.record:q} 2> {log:q}"
