"""The model `shapes`: a Stable Diffusion pipeline that draws captions of simple coloured shapes.

`python -m training.shapes` trains and evaluates it; training/shapes/README.md describes how.
"""
