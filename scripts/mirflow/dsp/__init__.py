"""Signal analysis that several features or artifacts share: pure functions from arrays to arrays."""
