"""An encoder in other programs: one file for each, which is loaded only there.

A file that has a function ``export`` writes encoders for its program: ``ssl-robot export RUN --format NAME``.
"""
