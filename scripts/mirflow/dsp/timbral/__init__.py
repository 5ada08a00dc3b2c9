"""The Audio Commons timbral models: eight perceptual attributes of a sound, on scales from 0 to 100."""
