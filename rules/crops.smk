# Needs:  full_mix.flac, grids and stems; for the .INFO files also the .INFO of the track
# Makes:  crops/ in the track's folder, with one rule for all crops of a track: the crops with their grids, crops.json,
#         which lists them, features.json, which holds their numbers, and an .INFO for each. On request also
#         crops/crops.png
#
# Snakemake knows only crops.json and features.json. The files of the crops lie beside these: a job for each would be
# twenty times as many jobs.

from mirflow.crops import measure

CROPS = config["crops"]
CROPPING = CROPS["mode"] != "none"
CROP_STEMS = list(TRACK.stems.values()) if CROPS["stems"] else []
CROP_CHOICE = {name: CROPS[name] for name in ("mode", "length", "hop_bars", "max_silence", "tail")}
CROP_CHOICE |= {"bars": CROPS["bars"]} if CROPS["mode"] == "bars" else {}
MEASURED = measure.chosen(config)
NOTES_NEEDED = any("drum_notes" in feature.inputs for feature in MEASURED)
MEASURED_SETTINGS = {
    feature.name: {s.name: value for s in feature.settings if (value := feature.chosen(config)[s.name]) != s.default}
    for feature in MEASURED
}
MEASURED_SETTINGS = {name: values for name, values in MEASURED_SETTINGS.items() if values}
if not CROPPING:
    UNMADE += ["crops", "crop_features", "crop_info"]


rule crops:
    "Cut a track into training crops."
    input:
        full_mix=TRACK.full_mix,
        beats=TRACK.grid("beats"),
        downbeats=TRACK.grid("downbeats"),
        onsets=TRACK.grid("onsets"),
        stems=CROP_STEMS,
        series=TRACK.timeseries if SERIES else [],
    output:
        TRACK.crops,
    log:
        "<logs>/{parent}{name}/crops.log",
    benchmark:
        "<benchmarks>/{parent}{name}/crops.jsonl"
    priority: 42
    conda:
        "../envs/base.yaml"
    resources:
        mem_mb=3000 if CROPS["stems"] else 1500,
    params:
        choice=" ".join(f"--{name.replace('_', '-')} {value}" for name, value in CROP_CHOICE.items()),
        made_by=identity.made_by("crops", **CROP_CHOICE, stems=CROPS["stems"]),
    shell:
        "mirflow crops {input.full_mix:q} --beats {input.beats:q} --downbeats {input.downbeats:q}"
        " --onsets {input.onsets:q} --stems {input.stems:q} --series {input.series:q}"
        " {params.choice} -o {output:q} 2> {log:q}"


rule crop_features:
    "Measure the features of all crops of a track."
    input:
        full_mix=TRACK.full_mix,
        stems=list(TRACK.stems.values()),
        beats=TRACK.grid("beats"),
        downbeats=TRACK.grid("downbeats"),
        onsets=TRACK.grid("onsets"),
        drum_notes=TRACK.drum_notes if NOTES_NEEDED else [],
        crops=TRACK.crops,
        levels=[TRACK.source_record, TRACK.stems_record],
    output:
        update(TRACK.crop_features),
    log:
        "<logs>/{parent}{name}/crop_features.log",
    benchmark:
        "<benchmarks>/{parent}{name}/crop_features.jsonl"
    priority: 44
    conda:
        "../envs/base.yaml"
    resources:
        mem_mb=4000,
    params:
        drum_notes="--drum-notes" if NOTES_NEEDED else "",
        features=[feature.name for feature in MEASURED],
        settings=json.dumps(MEASURED_SETTINGS),
        made_by=identity.made_by(
            "crop_features",
            *(f"feature_{feature.name}" for feature in MEASURED),
            settings=json.dumps(MEASURED_SETTINGS),
        ),
    shell:
        "mirflow crop_features {input.full_mix:q} --stems {input.stems:q} --beats {input.beats:q}"
        " --downbeats {input.downbeats:q} --onsets {input.onsets:q} {params.drum_notes} {input.drum_notes:q}"
        " --crops {input.crops:q}"
        " --features {params.features:q} --settings {params.settings:q} -o {output:q} 2> {log:q}"


rule crop_info:
    "Write the .INFO of each crop of a track."
    input:
        crops=TRACK.crops,
        features=TRACK.crop_features,
        info=TRACK.info,
        merged=layout.merge_stamp(RESULTS),
        source=TRACK.source_record,
        stems=TRACK.stems_record,
        beats=TRACK.beats_record,
    output:
        touch(layout.crops_stamp(RESULTS)),
    log:
        "<logs>/{parent}{name}/crop_info.log",
    benchmark:
        "<benchmarks>/{parent}{name}/crop_info.jsonl"
    priority: 52
    conda:
        "../envs/base.yaml"
    resources:
        mem_mb=200,
    params:
        track=lambda wildcards: wildcards.parent + wildcards.name,
        made_by=identity.made_by("crop_info"),
    shell:
        "mirflow crop_info {input.crops:q} --features {input.features:q} --info {input.info:q}"
        " --track {params.track:q} --record source {input.source:q} --record stems {input.stems:q}"
        " --record beats {input.beats:q} 2> {log:q}"


rule crops_png:
    "Draw the waveform of a track with its beats and its crops (only when asked for)."
    input:
        full_mix=TRACK.full_mix,
        crops=TRACK.crops,
        beats=TRACK.grid("beats"),
        downbeats=TRACK.grid("downbeats"),
    output:
        report(
            TRACK.crops_plot,
            caption="captions/crops.rst",
            category="Tracks",
            subcategory="{parent}{name}",
            labels={"picture": "crops"},
        ),
    log:
        "<logs>/{parent}{name}/crops_png.log",
    benchmark:
        "<benchmarks>/{parent}{name}/crops_png.jsonl"
    conda:
        "../envs/base.yaml"
    resources:
        mem_mb=1500,
    params:
        made_by=identity.made_by("crops_png"),
    shell:
        "mirflow crops_png {input.full_mix:q} --crops {input.crops:q} --beats {input.beats:q}"
        " --downbeats {input.downbeats:q} -o {output:q} 2> {log:q}"
