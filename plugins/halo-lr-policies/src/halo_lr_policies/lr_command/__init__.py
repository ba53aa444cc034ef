"""`halo lr`: learning rates without a model or a run.

app.py         the commands schedule, compare and simulate
start.py       the commands recommend and steps
defaults.py    default values shared by the commands and the calculations
dry_run.py     the learning rates of a policy on assumed or recorded measurements
recommend.py   recommended learning rates by method and setup, with sources
output.py      tables, charts and files
"""
