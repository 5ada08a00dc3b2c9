"""Source separation into stems: a network and its weights, and what it needs for surround sound."""
