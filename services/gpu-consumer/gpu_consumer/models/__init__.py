"""The folders of the catalogue's models: where they lie, whether they may be loaded, how they get there.

Nothing here imports torch: `darkroom models` answers in moments, on machines that render nothing.
"""
