"""Production, synthesised: populations, arrivals, labels, and what can go wrong with them."""
