"""Programs that measure the workflow and print tables: ``python -m benchmarks.<program>``, each with ``-h``.

bench        what each rule costs, in CPU seconds per minute of audio
overhead     what the workflow costs beside the same commands in one program
planning     what Snakemake itself costs with large libraries
eval_beats   beats and downbeats against known ones, beside other trackers
eval_onsets  onsets against known ones, beside other detectors
eval_stems   stems against known ones, beside a simple split
ranges       the declared ranges of all features against the values of a library

Nothing in the package `mirflow` imports them.
"""

from mirflow.core import environment

environment.prepare()  # each program is a module of this package, so this comes before numpy is imported
