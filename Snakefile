# A directory of music becomes, per track, one .INFO file with all that a music generator can be conditioned on.
#
#   library → full_mix → stems → beat_activations → beats_grid, downbeats
#                      → onsets                      ↓
#                      → feature_* (one rule per module in scripts/mirflow/features) → info
#                      → describe (where a model is given) → texts                     ↗
#
# Settings: config/config.yaml. Run: snakemake -j 8 --config library=~/music results=~/out

configfile: f"{workflow.basedir}/config/config.yaml"


include: "rules/common.smk"
include: "rules/library.smk"
include: "rules/stems.smk"
include: "rules/rhythm.smk"
include: "rules/features.smk"
include: "rules/describe.smk"
include: "rules/info.smk"


rule all:
    default_target: True
    localrule: True
    input:
        [f"{RESULTS}/{track}/{track.rpartition('/')[2]}.INFO" for track in LIBRARY.tracks],
        [f"{RESULTS}/.mirflow/merged/{track}/done" for track in LIBRARY.tracks],


onstart:
    progress.start(RESULTS, LIBRARY)


onsuccess:
    logger.info(progress.summary(RESULTS, LIBRARY, skip=config["skip"]))


onerror:
    logger.info(progress.summary(RESULTS, LIBRARY, skip=config["skip"]))
