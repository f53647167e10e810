"""One machine's whole deployment: what `backbeat dev` and `backbeat demo` start, watch and stop."""
