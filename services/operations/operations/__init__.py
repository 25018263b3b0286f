"""Operations: migrations, dead letters and their replay, rescue of lost jobs, and the sweeps."""
