"""Operations: dead letters and replays, sweeps, retention, keys and migrations; a folder for each topic."""
