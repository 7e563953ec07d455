"""Constants of profiles, fitted to the measured rows that files mark for it."""
