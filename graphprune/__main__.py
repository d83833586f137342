"""`python -m graphprune` is the command `graphprune`."""

from graphprune.cli.main import main

if __name__ == "__main__":
    main()
