"""What is kept of a run: folder.py (the run folder), lines.py (its JSONL files), environment.py, stop.py (Ctrl-C)."""
