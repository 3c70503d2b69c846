from .plant import Collection
SEVENTH = Collection()
