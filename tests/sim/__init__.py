"""The operator in a simulated cluster: real operator code, simulated API server, kubelet, gateway and time.

`docs/simulator.md` says how it is built, how to reproduce a finding and how to add a scenario.
"""
