"""`halo lr`: learning rates without a model or a run.

app.py         the commands schedule, compare and simulate
start.py       the commands recommend and steps
dry_run.py     the learning rates of a policy on assumed or recorded measurements
output.py      tables, charts and files of them
recommend.py   where to start, by method and size, with sources
"""
