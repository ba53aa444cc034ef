"""Tools for authors of demos: tasks, corpora and tiny models. No run imports this package."""
