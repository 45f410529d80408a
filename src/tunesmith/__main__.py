"""The `tunesmith` program, also as `python -m tunesmith`: its imports take a moment in which Ctrl-C may come, too."""

import os


def main() -> None:
    """Import the program and run it. Ctrl-C before that ends it as Ctrl-C does later: with 130 and a sentence."""
    try:
        from tunesmith.cli.main import main as run_program
    except KeyboardInterrupt:
        os.write(2, b"Stopped as you asked; nothing was begun.\n")
        os._exit(130)  # Python's own end would show where the import was
    run_program()


if __name__ == "__main__":
    main()
