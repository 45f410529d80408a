"""Code that runs in a child process (started by `evaluation/sandbox.py`): light modules, one for
each kind of work.

Each has `make_worker(setup)`, which returns the function for one task: a JSON value in, a JSON
value out.
"""
