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

@inproceedings{{ainsworth2023,
  title = {{Git Re-Basin: Merging Models modulo Permutation Symmetries}},
  author = {{Ainsworth, Samuel K. and Hayase, Jonathan and Srinivasa, Siddhartha}},
  booktitle = {{ICLR}},
  year = {{2023}}
}}

@inproceedings{{jordan2023,
  title = {{REPAIR: REnormalizing Permuted Activations for Interpolation Repair}},
  author = {{Jordan, Keller and Sedghi, Hanie and Saukh, Olga and Entezari, Rahim and Neyshabur, Behnam}},
  booktitle = {{ICLR}},
  year = {{2023}}
}}

@inproceedings{{li2016,
  title = {{Convergent Learning: Do different neural networks learn the same representations?}},
  author = {{Li, Yixuan and Yosinski, Jason and Clune, Jeff and Lipson, Hod and Hopcroft, John}},
  booktitle = {{ICLR}},
  year = {{2016}}
}}

@inproceedings{{huang2017,
  title = {{Snapshot Ensembles: Train 1, get M for free}},
  author = {{Huang, Gao and Li, Yixuan and Pleiss, Geoff and Liu, Zhuang and Hopcroft, John and Weinberger, Kilian}},
  booktitle = {{ICLR}},
  year = {{2017}}
}}

@inproceedings{{izmailov2018,
  title = {{Averaging Weights Leads to Wider Optima and Better Generalization}},
  author = {{Izmailov, Pavel and Podoprikhin, Dmitrii and Garipov, Timur and Vetrov, Dmitry and Wilson, Andrew Gordon}},
  booktitle = {{UAI}},
  year = {{2018}}
}}

@inproceedings{{wortsman2022,
  title = {{Model soups: averaging weights of multiple fine-tuned models improves accuracy without increasing inference
    time}},
  author = {{Wortsman, Mitchell and others}},
  booktitle = {{ICML}},
  year = {{2022}}
}}

@inproceedings{{ashukha2020,
  title = {{Pitfalls of In-Domain Uncertainty Estimation and Ensembling in Deep Learning}},
  author = {{Ashukha, Arsenii and Lyzhov, Alexander and Molchanov, Dmitry and Vetrov, Dmitry}},
  booktitle = {{ICLR}},
  year = {{2020}}
}}

@inproceedings{{lobacheva2020,
  title = {{On Power Laws in Deep Ensembles}},
  author = {{Lobacheva, Ekaterina and Chirkova, Nadezhda and Kodryan, Maxim and Vetrov, Dmitry}},
  booktitle = {{NeurIPS}},
  year = {{2020}}
}}

@inproceedings{{stich2019,
  title = {{Local SGD Converges Fast and Communicates Little}},
  author = {{Stich, Sebastian U.}},
  booktitle = {{ICLR}},
  year = {{2019}}
}}

@inproceedings{{glorot2010,
  title = {{Understanding the difficulty of training deep feedforward neural networks}},
  author = {{Glorot, Xavier and Bengio, Yoshua}},
  booktitle = {{AISTATS}},
  year = {{2010}}
}}

@inproceedings{{he2015,
  title = {{Delving Deep into Rectifiers: Surpassing Human-Level Performance on ImageNet Classification}},
  author = {{He, Kaiming and Zhang, Xiangyu and Ren, Shaoqing and Sun, Jian}},
  booktitle = {{ICCV}},
  year = {{2015}}
}}

@inproceedings{{saxe2014,
  title = {{Exact solutions to the nonlinear dynamics of learning in deep linear neural networks}},
  author = {{Saxe, Andrew M. and McClelland, James L. and Ganguli, Surya}},
  booktitle = {{ICLR}},
  year = {{2014}}
}}

@inproceedings{{xiao2018,
  title = {{Dynamical Isometry and a Mean Field Theory of CNNs}},
  author = {{Xiao, Lechao and Bahri, Yasaman and Sohl-Dickstein, Jascha and Schoenholz, Samuel S. and Pennington, J.}},
  booktitle = {{ICML}},
  year = {{2018}}
}}

@inproceedings{{mishkin2016,
  title = {{All you need is a good init}},
  author = {{Mishkin, Dmytro and Matas, Jiri}},
  booktitle = {{ICLR}},
  year = {{2016}}
}}

@inproceedings{{simonyan2015,
  title = {{Very Deep Convolutional Networks for Large-Scale Image Recognition}},
  author = {{Simonyan, Karen and Zisserman, Andrew}},
  booktitle = {{ICLR}},
  year = {{2015}}
}}

@inproceedings{{dauphin2019,
  title = {{MetaInit: Initializing learning by learning to initialize}},
  author = {{Dauphin, Yann N. and Schoenholz, Samuel}},
  booktitle = {{NeurIPS}},
  year = {{2019}}
}}

@inproceedings{{zhu2021,
  title = {{GradInit: Learning to Initialize Neural Networks for Stable and Efficient Training}},
  author = {{Zhu, Chen and Ni, Renkun and Xu, Zheng and Kong, Kezhi and Huang, W. Ronny and Goldstein, Tom}},
  booktitle = {{NeurIPS}},
  year = {{2021}}
}}

@inproceedings{{zhang2019,
  title = {{Fixup Initialization: Residual Learning Without Normalization}},
  author = {{Zhang, Hongyi and Dauphin, Yann N. and Ma, Tengyu}},
  booktitle = {{ICLR}},
  year = {{2019}}
}}

@inproceedings{{goodfellow2014,
  title = {{Generative Adversarial Nets}},
  author = {{Goodfellow, Ian and Pouget-Abadie, Jean and Mirza, Mehdi and Xu, Bing and Warde-Farley, David and
    Ozair, Sherjil and Courville, Aaron and Bengio, Yoshua}},
  booktitle = {{NeurIPS}},
  year = {{2014}}
}}

@inproceedings{{vaswani2017,
  title = {{Attention Is All You Need}},
  author = {{Vaswani, Ashish and Shazeer, Noam and Parmar, Niki and Uszkoreit, Jakob and Jones, Llion and
    Gomez, Aidan N. and Kaiser, Lukasz and Polosukhin, Illia}},
  booktitle = {{NeurIPS}},
  year = {{2017}}
}}

@article{{goyal2017,
  title = {{Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour}},
  author = {{Goyal, Priya and others}},
  journal = {{arXiv:1706.02677}},
  year = {{2017}}
}}
"""

_BY_KEY = {entry.split("{", 1)[1].split(",", 1)[0]: entry for entry in _ENTRIES.strip().split("\n\n")}


def bibtex(keys: Iterable[str] = ()) -> str:
    """BibTeX entries of orograph itself and of ``keys``, each once, unknown keys left out."""
    wanted = dict.fromkeys(["orograph", *keys])
    return "\n\n".join(_BY_KEY[key] for key in wanted if key in _BY_KEY)
