"""From files to token ids: read, check, split, prepare. Import the doors from the modules."""
