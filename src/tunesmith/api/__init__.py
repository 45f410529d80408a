"""The Python interface: what a script calls, and what the command line calls too.

    dataset      rows in memory -> a file that is read, checked and kept like any other
    answerers    a script's own functions and objects -> contenders
    commands     train, evaluate, decide, resume: each takes data, overrides and callbacks, and
                 returns a `Result`
    model        a model by name, a run or an exported folder -> answers

The names that users import stand in `tunesmith/__init__.pyi`.
"""
