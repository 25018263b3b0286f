"""The model folders of the catalogue: locating, checking, downloading and importing them.

Nothing here imports torch, so `darkroom models` starts fast and runs on machines without a GPU.
"""
