"""The `tunesmith` program, also as `python -m tunesmith`: its imports take a moment during which
Ctrl-C may arrive.
"""

import os


def main() -> None:
    """Import the program and run it. Ctrl-C during the import ends it as later: with 130 and a
    sentence.
    """
    try:
        from tunesmith.cli.main import main as run_program
    except KeyboardInterrupt:
        os.write(2, b"Interrupted before anything was started.\n")
        os._exit(130)  # a normal exit would print a traceback of the import
    run_program()


if __name__ == "__main__":
    main()
