"""One file per program that uses an encoder.

A file that has a function ``export`` writes encoders for its program: ``ssl-robot export RUN --format NAME``.
"""
