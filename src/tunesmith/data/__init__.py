"""From files to token ids: read, check, split, prepare. Import entry points from the modules."""
