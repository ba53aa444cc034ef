"""halo: train language models with rewards that a program can check.

The public names. Importing this package never imports torch.
"""
