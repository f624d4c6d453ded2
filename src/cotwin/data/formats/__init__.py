"""One file for each format, each yielding `Contents`; `known` lists them."""
