"""`python -m codeclm` is the `codeclm` command."""

from codeclm.cli import main

main()
