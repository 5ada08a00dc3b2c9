"""Training crops: where they lie in a track, their files, their numbers, and the ``.INFO`` of each."""
