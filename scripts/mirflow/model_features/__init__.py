"""Features that need a trained model: each module's ``features()`` says which there are. Made only when a setting asks."""
