"""Generated windows under a memory budget."""
