"""`python -m davstore`."""

from .cli import main

main()
