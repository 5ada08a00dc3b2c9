# mirflow: from a directory of music to one .INFO file per track, with everything to condition a music generator on.
#
#   library → full_mix → tags, fingerprint                           → info
#                      → stems                                       → feature_* →
#                      → onsets                                      →
#                      → beat_activations → beats_grid, downbeats    →
#                      → drum_activations → drum_notes → drums_mid, feature_drums →
#   on request:        → embedding_* → feature_* (heads), feature_audiobox        →
#                      → describe → condense → texts                              →
#                      → crops → crop_features → crop_info
#
# Settings: config/config.yaml. Run: snakemake -j 8 --config library=~/music results=~/out


import gc

from snakemake.utils import min_version

min_version("9.27.1")

# The graph of jobs consists of millions of objects that stay: the garbage collector would take a third of the time.
gc.disable()


configfile: f"{workflow.basedir}/config/config.yaml"


include: "rules/common.smk"
include: "rules/library.smk"
include: "rules/models.smk"
include: "rules/stems.smk"
include: "rules/rhythm.smk"
include: "rules/transcribe.smk"
include: "rules/labels.smk"
include: "rules/features.smk"
include: "rules/describe.smk"
include: "rules/metadata.smk"
include: "rules/info.smk"
include: "rules/timeseries.smk"
include: "rules/crops.smk"
include: "rules/export.smk"
include: "rules/report.smk"


rule all:
    "Make the .INFO of every track."
    default_target: True
    input:
        [layout.track_files(RESULTS, track).info for track in TRACKS],
        [layout.merge_stamp(RESULTS, track) for track in TRACKS],
        [
            layout.track_files(RESULTS, track, config["stems"]["format"]).instrumental
            for track in TRACKS
            if config["stems"]["instrumental"]
        ],
        [layout.track_files(RESULTS, track).embedding(name) for track in TRACKS for name in KEPT_EMBEDDINGS],
        [layout.crops_stamp(RESULTS, track) for track in TRACKS if CROPPING],
        [path for track in TRACKS for path in transcriptions(track)],
        [layout.track_files(RESULTS, track).timeseries for track in TRACKS if SERIES],
        [layout.track_files(RESULTS, track).metadata("lookup") for track in TRACKS if LOOKING_UP],
        layout.duplicates_table(RESULTS) if RELATING and (LIBRARY_ONLY or not BATCH) and SHARE.is_whole else [],
    localrule: True


snakemake_internals.finish(workflow)
progress.name_stages(workflow.rules)


onstart:
    gc.freeze()
    gc.enable()
    try:
        progress.start(RESULTS, LIBRARY, SHARE, merging=snakemake_internals.planned(workflow, "info"))
        needs.write_licences(RESULTS, NEEDED_MODELS)
    except MirflowError as error:
        raise WorkflowError(str(error))
    if BATCH:
        nothing = LIBRARY_ONLY and not RELATING  # the rule `all` runs even where it waits for no file
        batches.note(started=not nothing, skip=UNMADE, crops=CROPPING)


# The summary of several batches comes from `mirflow run`, after the last one.
onsuccess:
    if BATCH:
        progress.tidy(RESULTS, TRACKS)
    elif not exports.is_alone():
        logger.info(
            progress.end(RESULTS, LIBRARY, progress.Run(skip=UNMADE, crops=CROPPING, share=SHARE, chosen=TAKEN))
        )
        if SHARE.is_whole and (said := glance.line(RESULTS, TAKEN, UNMADE, CROPPING)):
            logger.info(said)
    since = progress.began(RESULTS)
    for said in [*exports.said(map(exports.report, PLACES.values()), since), *glance.made(RESULTS, since)]:
        logger.info(said)


onerror:
    if BATCH:
        batches.note(waiting=[*BATCH.waiting, *progress.unmade(RESULTS)])
        progress.tidy(RESULTS, TRACKS)
    elif not exports.is_alone():
        if RELATING and SHARE.is_whole and progress.is_over(RESULTS, TAKEN, skip=UNMADE):
            # The rule waits for all tracks. Those that failed shall not keep the others from being related.
            shell("mirflow duplicates {RESULTS:q} {RELATE_OPTIONS}")
        waiting = tuple(progress.unmade(RESULTS))
        asked = progress.Run(UNMADE, CROPPING, SHARE, waiting=waiting, broken=True, chosen=TAKEN)
        logger.info(progress.end(RESULTS, LIBRARY, asked))
        if SHARE.is_whole and not waiting and (said := glance.line(RESULTS, TAKEN, UNMADE, CROPPING)):
            logger.info(said)
