"""Arithmetic about learning rates, without a model: what `halo lr` prints.

dryrun.py      what rates a policy would give, on assumed or recorded measurements
output.py      tables, charts and files of them
recommend.py   where to start, by method and size, with sources

It works with any policy by name, so it belongs to the core and not to the package of policies. So do the
recommendations: they are about methods of training, and every policy takes its base rate from them.
"""
