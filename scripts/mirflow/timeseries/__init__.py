"""Time series of a track at 100 Hz: their file, exact means of them at any other rate, and how they are measured."""

from mirflow.timeseries.files import read

__all__ = ["read"]
