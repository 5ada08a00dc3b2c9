"""Stems: the backends that separate a mix into them, and the files that hold them."""
