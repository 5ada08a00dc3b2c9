"""Descriptions of a track in words, by an audio language model.

`prompts` what is asked, `hints` what is told beforehand, `engine` the one loaded model, `gguf` and `transformers_backend`
the two ways to run it, `normalise` what becomes of the answer, `faults` which answers are none, `conflicts` which answers
contradict what was measured.
"""
