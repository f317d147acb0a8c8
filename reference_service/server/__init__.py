"""HTTP/1.1 of our own, from the parser straight to the core. docs/explanation/reference-service.md: what it spares."""
