"""What runs in a child process (`evaluation/child.py` starts it): light modules, one a kind of work.

Each has `open_work(setup)`, which makes the function that does one piece: a JSON value in, a JSON value out.
"""
