"""Authoring code of the demo in `halo_verifier_jsonschema.demo`; not part of the wheel.

`python -m halo_verifier_jsonschema_demo.make OUT` writes the prompts and the model.
"""
