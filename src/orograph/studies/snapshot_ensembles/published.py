"""The published table: test errors in % of the snapshot family (Huang et al. 2017, Table 1; as in talk 1)."""

PUBLISHED = (
    # network, method, CIFAR-10, CIFAR-100, SVHN, Tiny ImageNet; None: not given
    ("ResNet-110", "single", 5.52, 28.02, 1.96, 46.50),
    ("ResNet-110", "no cycle", 5.49, 26.97, 1.78, 43.69),
    ("ResNet-110", "single cycle", 6.66, 24.54, 1.74, 42.60),
    ("ResNet-110", "snapshots 0.1", 5.73, 25.55, 1.63, 40.54),
    ("ResNet-110", "snapshots 0.2", 5.32, 24.19, 1.66, 39.40),
    ("Wide-ResNet-32", "single", 5.43, 23.55, 1.90, 39.63),
    ("Wide-ResNet-32", "dropout", 4.68, 22.82, 1.81, 36.58),
    ("Wide-ResNet-32", "no cycle", 5.18, 22.81, 1.81, 38.64),
    ("Wide-ResNet-32", "single cycle", 5.95, 21.38, 1.65, 35.53),
    ("Wide-ResNet-32", "snapshots 0.1", 4.41, 21.26, 1.64, 35.45),
    ("Wide-ResNet-32", "snapshots 0.2", 4.73, 21.56, 1.51, 32.90),
    ("DenseNet-40", "single", "5.24*", "24.42*", 1.77, 39.09),
    ("DenseNet-40", "dropout", 6.08, 25.79, "1.79*", 39.68),
    ("DenseNet-40", "no cycle", 5.20, 24.63, 1.80, 38.51),
    ("DenseNet-40", "single cycle", 5.43, 22.51, 1.87, 38.00),
    ("DenseNet-40", "snapshots 0.1", 4.99, 23.34, 1.64, 37.25),
    ("DenseNet-40", "snapshots 0.2", 4.84, 21.93, 1.73, 36.61),
    ("DenseNet-100", "single", "3.74*", "19.25*", None, None),
    ("DenseNet-100", "dropout", 3.65, 18.77, None, None),
    ("DenseNet-100", "no cycle", 3.80, 19.30, None, None),
    ("DenseNet-100", "single cycle", 4.52, 18.38, None, None),
    ("DenseNet-100", "snapshots 0.1", 3.57, 18.12, None, None),
    ("DenseNet-100", "snapshots 0.2", 3.44, 17.41, None, None),
)
