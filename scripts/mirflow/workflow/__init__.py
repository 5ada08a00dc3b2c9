"""The workflow around Snakemake: settings, batches, progress and summary, and what it changes of Snakemake itself."""
