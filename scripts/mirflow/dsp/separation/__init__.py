"""Source separation into stems by signal processing."""
