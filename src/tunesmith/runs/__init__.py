"""What is stored of a run: run_folder.py (the folder), jsonl_log.py (its JSONL files),
checksums.py, contender_files.py, training_data.py, machine_info.py; signals.py handles Ctrl-C.
"""
