"""One study's folder: an SQLite catalogue over content-addressed safetensors and npz files."""

from orograph.store.store import Store

__all__ = ["Store"]
