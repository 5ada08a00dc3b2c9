"""Transcription: networks hear drums in a stem, rules read notes from their output, and MIDI files hold the notes."""
