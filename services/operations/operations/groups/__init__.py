"""Groups of dead letters: one for each kind, model and fingerprint.

The writer of a letter only appends what it changes (the trigger append_delta); folding moves that into the groups.
Reads add what is not folded yet, so that they are exact.
"""
