"""The published table: test errors in % of ensembles at one to three budgets (Garipov et al. 2018, Table 1)."""

PUBLISHED = (
    # network (budget in epochs), data, method, 1B, 2B, 3B
    ("VGG-16 (200)", "CIFAR-100", "independent", "27.4 ± 0.1", 25.28, 24.45),
    ("VGG-16 (200)", "CIFAR-100", "snapshots", "26.4 ± 0.1", 25.16, 24.69),
    ("VGG-16 (200)", "CIFAR-100", "fge", "25.7 ± 0.1", 24.11, 23.54),
    ("VGG-16 (200)", "CIFAR-10", "independent", "6.75 ± 0.16", 5.89, 5.9),
    ("VGG-16 (200)", "CIFAR-10", "snapshots", "6.57 ± 0.12", 6.19, 5.95),
    ("VGG-16 (200)", "CIFAR-10", "fge", "6.48 ± 0.09", 5.82, 5.66),
    ("ResNet-164 (150)", "CIFAR-100", "independent", "21.5 ± 0.4", 19.04, 18.59),
    ("ResNet-164 (150)", "CIFAR-100", "snapshots", "20.9 ± 0.2", 19.28, 18.91),
    ("ResNet-164 (150)", "CIFAR-100", "fge", "20.2 ± 0.1", 18.67, 18.21),
    ("ResNet-164 (150)", "CIFAR-10", "independent", "4.72 ± 0.1", 4.1, 3.77),
    ("ResNet-164 (150)", "CIFAR-10", "snapshots", "4.66 ± 0.02", 4.37, 4.3),
    ("ResNet-164 (150)", "CIFAR-10", "fge", "4.54 ± 0.05", 4.21, 3.98),
    ("WRN-28-10 (200)", "CIFAR-100", "independent", "19.2 ± 0.2", 17.48, 17.01),
    ("WRN-28-10 (200)", "CIFAR-100", "snapshots", "17.9 ± 0.2", 17.3, 16.97),
    ("WRN-28-10 (200)", "CIFAR-100", "fge", "17.7 ± 0.2", 16.95, 16.88),
    ("WRN-28-10 (200)", "CIFAR-10", "independent", "3.82 ± 0.1", 3.4, 3.31),
    ("WRN-28-10 (200)", "CIFAR-10", "snapshots", "3.73 ± 0.04", 3.54, 3.55),
    ("WRN-28-10 (200)", "CIFAR-10", "fge", "3.65 ± 0.1", 3.38, 3.52),
)
