"""What the numbers of a whole library say: statistics of every key, and findings with what to do about each."""
