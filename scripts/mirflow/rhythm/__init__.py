"""Beats and downbeats: backends estimate activations, and decoders turn activations into grids."""
