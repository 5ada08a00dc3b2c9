class FilterError extends Error {}
function compile(text) { return () => true; }
