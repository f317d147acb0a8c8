"""Imported last by the fork server: what it has imported is no garbage, and no run need look at it again.

Without this, the first collection of every run would walk through 190,000 objects of libraries, and copy each of their
pages, because it writes into their headers: a tenth of a second a run.
"""

import gc

gc.collect()
gc.freeze()
