"""Studies of many runs: arms, seeds, comparisons with intervals, and a report."""
