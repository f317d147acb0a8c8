"""The Locust driver: the live driver's voyage, its requests sent by a fleet of Locust processes.

``fleet`` speaks for the run (asyncio, a process of its own), ``bridge`` for Locust's master, ``worker`` for each of
Locust's workers (both gevent); ``frames`` is what they say to each other, ``shards`` who sends what. Locust itself is
imported by ``simulator/locustfile.py`` alone.
"""
