"""Facts in, what a person is shown out. Pure: no cluster, no clock, no terminal."""
