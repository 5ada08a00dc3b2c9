# A directory of music becomes, per track, one .INFO file with all that a music generator can be conditioned on.
#
#   library → full_mix → stems → beat_activations → beats_grid, downbeats
#                      → onsets                      ↓
#                      → embedding_* → feature_* (one rule per head in config/models.yaml, when a setting asks for it)
#                      → feature_audiobox (when a setting asks for it)
#                      → feature_* (one rule per module in scripts/mirflow/features) → info
#                      → describe (where a model is given) → texts                     ↗
#
# Settings: config/config.yaml. Run: snakemake -j 8 --config library=~/music results=~/out


import gc

import snakemake

gc.disable()  # Building the graph of jobs makes millions of objects that stay: looking for garbage costs a third of the time.


configfile: f"{workflow.basedir}/config/config.yaml"


include: "rules/common.smk"
include: "rules/library.smk"
include: "rules/models.smk"
include: "rules/stems.smk"
include: "rules/rhythm.smk"
include: "rules/features.smk"
include: "rules/labels.smk"
include: "rules/aesthetics.smk"
include: "rules/describe.smk"
include: "rules/info.smk"


if snakemake.__version__ == "9.27.1":  # it reaches into the insides of this version

    include: "rules/snakemake.smk"


rule all:
    default_target: True
    input:
        [f"{RESULTS}/{track}/{track.rpartition('/')[2]}.INFO" for track in TRACKS],
        [f"{RESULTS}/.mirflow/merged/{track}/done" for track in TRACKS],
    localrule: True


# Snakemake would evaluate an expression, for each job, to find out what the jobs' $TMPDIR is: the one that they have
# already. It is a tenth of what a plan costs.
for each in workflow.rules:
    if each.resources.get("tmpdir").raw == "system_tmpdir":
        each.resources["tmpdir"] = None


onstart:
    gc.freeze()
    gc.enable()
    try:
        progress.start(RESULTS, LIBRARY)
    except MirflowError as error:
        raise WorkflowError(str(error))
    if BATCH:
        progress.note(started=True, skip=UNMADE)


# The summary of several batches comes from `mirflow run`, after the last one.
onsuccess:
    if not BATCH:
        logger.info(progress.summary(RESULTS, LIBRARY, skip=UNMADE))


onerror:
    if not BATCH:
        logger.info(progress.summary(RESULTS, LIBRARY, skip=UNMADE, broken=True))
