"""The library: finding the tracks in it, and decoding each of them to full_mix.flac."""
