"""Descriptions of a track in words, by an audio language model.

`prompts`: the questions. `audio_input`: the audio that the model gets. `gguf`, `transformers_backend`: two ways to run
the model. `generation`: asking until an answer is usable. `answer_checks`: which answers are not. `normalise`: answers
as plain text. `session`: a loaded model with the track that it encoded last. `conflicts`: answers that contradict what
was measured. `fragment`: what goes into .INFO. `backends`: choosing a model and finding its files.
"""
