"""One module per feature: what it declares (``FEATURE``) beside the code that computes it (``measure``)."""
