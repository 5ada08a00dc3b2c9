"""Trained models: the catalogue and its downloads, the accelerator, loading and keeping them, TensorFlow graphs."""
