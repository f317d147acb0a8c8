"""The service under trial, seen from outside: protocols, transports, observers, seams."""
