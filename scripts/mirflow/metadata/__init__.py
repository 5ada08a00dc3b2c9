"""Who made a track, and which tracks are the same recording.

`tags`: what the source file says of itself. `fingerprint`: what the track sounds like, in a few kilobytes.
`duplicates`: which tracks are alike, with the loop of `kernels`. `split`: which tracks are kept from training.
`lookup`: what MusicBrainz knows of a recording, asked by `services`.
"""
