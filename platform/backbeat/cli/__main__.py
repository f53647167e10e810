"""`python -m backbeat.cli` is `backbeat`."""

from backbeat.cli import main

main()
