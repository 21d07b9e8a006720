"""The operator under a fleet: a real control plane, nodes played by kwok, the real operator as a process.

`python -m tests.bench.fleet --agents 1000` measures and prints; `docs/benchmarks.md` says how to read it.
"""
