"""The tiny model: a real Stable Diffusion pipeline of 5 MB with random, seeded weights.

It has the classes, files and failure modes of SD 1.5 at a size that renders 64x64 on any CPU in a third of a
second, so that the whole system runs and is tested for real on a machine without a GPU. Its pictures are abstract:
prompt, seed and settings all shape them, but nobody taught it what words mean. Nothing is downloaded.
"""
