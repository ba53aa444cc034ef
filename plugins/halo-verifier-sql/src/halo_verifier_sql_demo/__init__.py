"""Authoring code of the demo in `halo_verifier_sql.demo`; not part of the wheel.

`python -m halo_verifier_sql_demo.make OUT` creates the prompts and the model.
"""
