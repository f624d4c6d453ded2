"""The only place that knows configuration: validated settings in, objects out."""
