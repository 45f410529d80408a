"""What is stored of a run, and the block in which a command works on it.

Stored: run_folder.py (the folder), jsonl_log.py (its JSONL files), checksums.py,
contender_files.py, training_data.py, machine_info.py. Working on it: session.py (lock, store entry,
signals, end), signals.py (Ctrl-C), interruption.py, resume_checks.py, continued_training.py.
Finding it: store_index.py (the index of run folders), local_inventory.py (models, samples and runs
of this machine).
"""
