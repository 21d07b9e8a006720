"""Kills gateways and agents at random moments, many times, and counts what was done.

python -m tests.bench.kills --kills 100 --store postgresql
"""
