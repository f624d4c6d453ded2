"""What is in a file, and what is odd in it, said without refusing any of it."""
