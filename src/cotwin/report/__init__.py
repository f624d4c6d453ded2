"""What a person sees at the end: a table and a figure."""
