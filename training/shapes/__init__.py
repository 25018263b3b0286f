"""The model `shapes`: a Stable Diffusion pipeline that draws captions of simple coloured shapes.

`python -m training.shapes` trains, evaluates and draws; training/shapes/README.md tells how.
"""
