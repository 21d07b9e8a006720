"""World and now in, Plan out: what should exist, what to report, when to look again. Pure."""
