"""One promise each: a function from a bench (and, for some, the server's process) to findings."""
