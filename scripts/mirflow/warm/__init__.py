"""Warm workers: processes that have imported and compiled everything run the commands of a run."""
