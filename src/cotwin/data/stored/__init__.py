"""What a file holds before it is decided how to use it, whatever its format."""
