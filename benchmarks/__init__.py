"""Each number that the README claims, as a command that measures it beside its peer."""
