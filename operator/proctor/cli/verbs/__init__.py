"""One module for each verb: its options, what it fetches, what it prints, and its exit code."""
