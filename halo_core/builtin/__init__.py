"""The core's own hook plugins. They use the same hooks as any other plugin."""
