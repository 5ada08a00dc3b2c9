"""Descriptions of a track in words, by an audio language model.

`prompts`: what is asked. `sound`: what is heard. `gguf`, `transformers_backend`: two ways to run the model. `answer`:
asking until the answer is good. `normalise`: what becomes of it. `faults`: which answers are none. `session`: a model
that has heard a track. `conflicts`: which answers contradict what was measured. `fragment`: what goes into .INFO.
"""
