"""x"""
def mutants(reference, *, thousands=False):
    return []
