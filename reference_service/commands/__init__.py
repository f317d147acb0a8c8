"""What operators type: one module a command, each with `main(arguments) -> exit code`."""
