"""Evidence that may be looked at at any time: the mathematics that rollouts and objectives share. Pure.

An e-process starts at 1 and, as long as its null hypothesis holds, has an expectation of at most 1 whenever one
stops. By Ville's inequality the chance that it ever reaches 1/alpha is then at most alpha, however often one looks.
"""
