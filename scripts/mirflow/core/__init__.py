"""What everything else stands on: errors, audio, artifacts and where they lie, declarations of features, identity."""
