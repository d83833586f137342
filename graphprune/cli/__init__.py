"""The command line: one file a command. A command parses its options, calls one function, prints
its report and sets the exit code.
"""
