"""Features that need a trained model, made when a setting asks: each module's ``features()`` says which there are."""
