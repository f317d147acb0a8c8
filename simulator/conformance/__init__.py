"""What any service owes its callers, tried from outside: no labels and no cooperation needed.

``await run(target, rows, …)`` in `simulator.conformance.suite` is the whole interface.
"""
