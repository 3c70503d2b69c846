"""BibTeX of the papers whose methods orograph implements, by short key."""

from __future__ import annotations

from collections.abc import Iterable

from orograph._version import __version__

_ENTRIES = f"""
@software{{orograph,
  title = {{orograph: loss landscapes of neural networks}},
  author = {{The orograph founders}},
  version = {{{__version__}}},
  year = {{2026}}
}}

@misc{{elasticdl179,
  title = {{Investigating models with different initial values}},
  author = {{ElasticDL contributors}},
  howpublished = {{sql-machine-learning/elasticdl, issue 179}},
  year = {{2019}}
}}

@inproceedings{{goodfellow2015,
  title = {{Qualitatively characterizing neural network optimization problems}},
  author = {{Goodfellow, Ian J. and Vinyals, Oriol and Saxe, Andrew M.}},
  booktitle = {{ICLR}},
  year = {{2015}}
}}

@inproceedings{{li2018,
  title = {{Visualizing the Loss Landscape of Neural Nets}},
  author = {{Li, Hao and Xu, Zheng and Taylor, Gavin and Studer, Christoph and Goldstein, Tom}},
  booktitle = {{NeurIPS}},
  year = {{2018}}
}}

@inproceedings{{frankle2020,
  title = {{Linear Mode Connectivity and the Lottery Ticket Hypothesis}},
  author = {{Frankle, Jonathan and Dziugaite, Gintare Karolina and Roy, Daniel and Carbin, Michael}},
  booktitle = {{ICML}},
  year = {{2020}}
}}

@inproceedings{{garipov2018,
  title = {{Loss Surfaces, Mode Connectivity, and Fast Ensembling of DNNs}},
  author = {{Garipov, Timur and Izmailov, Pavel and Podoprikhin, Dmitrii and Vetrov, Dmitry and Wilson, Andrew Gordon}},
  booktitle = {{NeurIPS}},
  year = {{2018}}
}}

@inproceedings{{antognini2018,
  title = {{PCA of high dimensional random walks with comparison to neural network training}},
  author = {{Antognini, Joseph M. and Sohl-Dickstein, Jascha}},
  booktitle = {{NeurIPS}},
  year = {{2018}}
}}
"""

_BY_KEY = {entry.split("{", 1)[1].split(",", 1)[0]: entry for entry in _ENTRIES.strip().split("\n\n")}


def bibtex(keys: Iterable[str] = ()) -> str:
    """BibTeX entries of orograph itself and of ``keys``, each once, unknown keys left out."""
    wanted = dict.fromkeys(["orograph", *keys])
    return "\n\n".join(_BY_KEY[key] for key in wanted if key in _BY_KEY)
