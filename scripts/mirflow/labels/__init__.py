"""Labels of a track: networks that compute embeddings of it, and heads that read these embeddings."""
