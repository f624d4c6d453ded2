"""`python -m cotwin` is the command line."""

from cotwin.cli import app

app()
