"""Run the command line as `python -m onelook`."""

from onelook.cli import main

main()
