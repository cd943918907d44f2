"""``python -m immunoprofile.cli``."""

from immunoprofile.cli import main

main()
