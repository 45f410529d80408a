"""What runs in a child process (`evaluation/sandbox.py` starts it): light modules, one a kind of work.

Each has `make_worker(setup)`, which makes the function that does one piece: a JSON value in, a JSON value out.
"""
