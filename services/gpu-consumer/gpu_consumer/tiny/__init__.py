"""The tiny model: a real Stable Diffusion pipeline of 5 MB with random, seeded weights.

It has the classes, files and failure modes of SD 1.5, and renders 64x64 on any CPU in a third of a second, so that the
whole system can run and be tested without a GPU. Its pictures are abstract: prompt, seed and settings all change them,
but the model is untrained. Nothing is downloaded.
"""
