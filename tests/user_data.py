"""Data in a user's own file, of which several tests write one: three clouds of points."""

BLOBS = """
import torch
from torch.utils.data import Dataset

class Blobs(Dataset):
    def __init__(self, count, seed):
        random = torch.Generator().manual_seed(seed)
        self.labels = torch.arange(count) % 3
        self.points = torch.randn(count, 4, generator=random) + 2 * self.labels[:, None]

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return self.points[index], int(self.labels[index])

def blobs():
    return Blobs(90, 0), Blobs(30, 1)
"""
