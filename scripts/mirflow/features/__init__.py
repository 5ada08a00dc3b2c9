"""One module per feature: what it declares about itself (``FEATURE``) beside the code that computes it (``measure``)."""
