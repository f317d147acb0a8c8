"""The numeric core: a row becomes codes once; the forest, the cache and the monitors all read the codes."""
