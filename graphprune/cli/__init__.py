"""The command line: one file a command.

A command parses its options, calls one function, prints its report and sets the exit code.

What belongs here: options, help, exit codes, colour and the live display. What does not: decisions
and texts of reports, which Python users get as well.
"""
