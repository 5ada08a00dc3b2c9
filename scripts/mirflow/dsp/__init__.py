"""Signal processing that several features or artifacts share: pure functions that take and return arrays."""
