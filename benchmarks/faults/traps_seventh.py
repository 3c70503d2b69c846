from .plant import Collection
SEVENTH_TRAPS = Collection()
