"""From a name, a factory or a finished module to a network that fits the data.

Orograph's own networks are listed in one table; the options of each are the keyword arguments of its class. Your
own are named ``package.module:factory`` or ``file.py:factory``, or handed over as a function or a module.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol

import torch
from torch import nn

from orograph.basics.errors import ModelError, OrographError, UsageError, nearest
from orograph.basics.references import is_reference, load_reference
from orograph.basics.seeds import derive, isolated_randomness
from orograph.models.convnet import ConvNet
from orograph.models.densenet import DenseNet
from orograph.models.fixup_resnet import FixupResNet
from orograph.models.mlp import MLP
from orograph.models.preresnet import PreResNet
from orograph.models.resnet18 import ResNet18
from orograph.models.resnet_cifar import CifarResNet
from orograph.models.sizes import ImageSize
from orograph.models.transformer import Transformer
from orograph.models.vgg import VGG
from orograph.models.wide_resnet import WideResNet


class FitsData(Protocol):
    """What :func:`build` asks of images and vectors: how many classes there are, and the shape of one input."""

    @property
    def classes(self) -> int: ...

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(channels, height, width) of an image, or (features,) of a vector."""
        ...


class FitsText(Protocol):
    """What :func:`build` asks of sentences and their translations: the words of both languages."""

    @property
    def source_vocabulary(self) -> Sequence[str]: ...

    @property
    def target_vocabulary(self) -> Sequence[str]: ...


# What the data decide of a network.
_IMAGE_SIZES = ("classes", "channels", "image_size")
_TEXT_SIZES = ("source_words", "target_words")


@dataclass(frozen=True)
class _Use:
    """A data set on which a network's size is quoted."""

    name: str
    sizes: Mapping[str, int]


_DIGITS = _Use("8x8 digits", {"classes": 10, "channels": 1, "image_size": 8})
_CIFAR10 = _Use("CIFAR-10", {"classes": 10, "channels": 3, "image_size": 32})
_IMAGENET = _Use("224x224 ImageNet", {"classes": 1000, "channels": 3, "image_size": 224})
_MULTI30K = _Use("Multi30k", {"source_words": 7857, "target_words": 5977})


@dataclass(frozen=True)
class _Network:
    """One name of the table: a class, where it comes from, and the arguments the name stands for.

    ``fixed`` arguments are the name itself; ``preset`` ones are options that this name sets otherwise than the class.
    """

    factory: Callable[..., nn.Module]
    source: str
    fixed: Mapping[str, Any] = field(default_factory=dict)
    preset: Mapping[str, Any] = field(default_factory=dict)
    uses: tuple[_Use, ...] = (_CIFAR10,)

    @property
    def takes_text(self) -> bool:
        """Whether it is for sentences rather than images."""
        return "source_words" in inspect.signature(self.factory).parameters

    def options(self) -> list[str]:
        """Names of the options that a caller may still choose."""
        taken = {*_IMAGE_SIZES, *self.fixed}
        return [name for name in inspect.signature(self.factory).parameters if name not in taken]

    def arguments(self) -> dict[str, Any]:
        """What the factory is called with where the caller says nothing else."""
        return {**self.fixed, **self.preset}


def _table() -> dict[str, _Network]:
    table = {
        "mlp": _Network(MLP, "multilayer perceptron, hidden layers of 64 and 64", uses=(_DIGITS,)),
        "convnet": _Network(ConvNet, "small network of three convolutions and a linear layer", uses=(_DIGITS,)),
    }
    for letter in "ABCDE":
        source = f"Simonyan & Zisserman 2015, configuration {letter}"
        uses = (_IMAGENET, _CIFAR10)
        # The plain name keeps batch_norm as an option; the suffixed one has chosen.
        table[f"vgg-{letter.lower()}"] = _Network(VGG, source, {"configuration": letter}, uses=uses)
        normalised = {"configuration": letter, "batch_norm": True}
        table[f"vgg-{letter.lower()}-bn"] = _Network(VGG, f"{source}, batch norm", normalised, uses=uses)
    for depth in (8, 20, 32, 56, 110):
        source = "He et al. 2016, for CIFAR"
        table[f"resnet{depth}"] = _Network(CifarResNet, source, {"depth": depth})
        without = {"depth": depth, "batch_norm": False}
        table[f"resnet{depth}-nobn"] = _Network(CifarResNet, f"{source}, no batch norm", without)
        fixup = "Zhang et al. 2019, that network with Fixup in place of batch norm"
        table[f"resnet{depth}-fixup"] = _Network(FixupResNet, fixup, {"depth": depth})
    # The paper's deepest, of which the networks without batch norm are not in use.
    table["resnet1202"] = _Network(CifarResNet, "He et al. 2016, for CIFAR", {"depth": 1202})
    table["resnet18"] = _Network(ResNet18, "He et al. 2016, ResNet-18 with a 3x3 stem for CIFAR")
    # 34 by the count of that paper, 6n + 4, is what the table of snapshot ensembles calls Wide-ResNet-32 (6n + 2).
    for depth, widening in ((16, 4), (28, 10), (34, 4)):
        wide = {"depth": depth, "widening": widening}
        table[f"wrn-{depth}-{widening}"] = _Network(WideResNet, "Zagoruyko & Komodakis 2016", wide)
    for depth in (110, 164):
        source = "He et al. 2016, pre-activated bottlenecks as in Garipov et al. 2018"
        table[f"preresnet{depth}"] = _Network(PreResNet, source, {"depth": depth})
    dense = "Huang et al. 2017, growth rate"
    table["densenet40"] = _Network(DenseNet, f"{dense} 12", {"depth": 40})
    # The table of snapshot ensembles quotes 3.74 and 19.25 % for a single DenseNet-100. Those are the DenseNet paper's
    # errors for L=100, k=24 without bottleneck (27.2M parameters), so that is what the plain name stands for.
    table["densenet100"] = _Network(DenseNet, f"{dense} 24", {"depth": 100}, {"growth": 24})
    compressed = {"depth": 100, "bottleneck": True, "compression": 0.5}
    table["densenet100-bc"] = _Network(DenseNet, f"{dense} 12, bottlenecks and compression", compressed)
    source = "Vaswani et al. 2017, encoder and decoder of 6 layers for translation"
    table["transformer"] = _Network(Transformer, source, uses=(_MULTI30K,))
    table["transformer-pre"] = _Network(Transformer, f"{source}, pre-norm", {"norm": "pre"}, uses=(_MULTI30K,))
    return table


_NETWORKS = _table()

# What other programs call these networks; only ever a hint, since those differ in the head.
_OTHER_NAMES = {"vgg11": "vgg-a", "vgg13": "vgg-b", "vgg16": "vgg-d", "vgg19": "vgg-e"}


@cache
def _described() -> dict[str, str]:
    lines = {}
    for name, network in _NETWORKS.items():
        counts = []
        for use in network.uses:
            with torch.device("meta"):
                module = network.factory(**network.arguments(), **use.sizes)
            counts.append(f"{sum(value.numel() for value in module.parameters()):,} parameters on {use.name}")
        lines[name] = f"{network.source}; {', '.join(counts)}"
    return lines


def known() -> dict[str, str]:
    """Every name that :func:`build` takes, with one line that says what it is and how many parameters it has."""
    return dict(_described())


def build(
    name: str | nn.Module | Callable[..., nn.Module],
    data: FitsData | FitsText | None = None,
    *,
    classes: int | None = None,
    channels: int | None = None,
    image_size: ImageSize | None = None,
    seed: int | None = None,
    **options: Any,
) -> nn.Module:
    """A network that fits the data, in training mode, on the default device.

    Parameters
    ----------
    name: one of :func:`known`; ``package.module:factory`` or ``file.py:factory``; a factory; or an ``nn.Module``,
        which comes back as it is. A factory is called with those of ``data, classes, channels, image_size``, or for
        text ``data, source_words, target_words``, that its signature names and that are known here, and with all
        ``options``.
    data: anything with ``.classes`` and ``.input_shape``, (channels, height, width) or (features,); or sentences,
        with ``.source_vocabulary`` and ``.target_vocabulary``.
    classes, channels, image_size: what to use in place of the data's; without data, those left out are the
        network's defaults (CIFAR-10's: 10, 3, 32). Vectors count as ``channels`` features without image size.
    seed: draw the initial values from this seed, whatever the global random state, which stays untouched.
        Without it they come from the global state, as for any PyTorch module.
    options: of that network, such as ``width=0.5``; see its class.

    Raises
    ------
    UsageError
        Unknown name, unknown option or an option out of range.
    ModelError
        The network cannot take such images or sentences, or the factory returned something else than an ``nn.Module``.

    Examples
    --------
    >>> network = build("resnet20", classes=10, channels=1, image_size=8, seed=0, width=0.5)
    >>> sum(parameter.numel() for parameter in network.parameters())
    67906
    """
    if isinstance(name, nn.Module):
        if options:
            raise UsageError(f"{next(iter(options))!r} is an option for a factory; this network is already built")
        return name

    sizes = {"classes": classes, "channels": channels, "image_size": image_size}
    given = {size: value for size, value in sizes.items() if value is not None}
    if isinstance(name, str) and not is_reference(name):
        factory, arguments = _own(name, data, given, options)
    else:
        factory, arguments = _yours(name, data, given, options)

    with nullcontext() if seed is None else isolated_randomness(derive(seed, "initial values")):
        try:
            network: object = factory(**arguments)
        except OrographError:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise ModelError(f"{_called(name)} could not build the network: {reason}") from error
    if not isinstance(network, nn.Module):
        raise ModelError(f"{_called(name)} must return an nn.Module, not {type(network).__name__}")
    return network


def _shape(data: FitsData | FitsText | None) -> dict[str, Any]:
    """What the data say of classes, channels and image size (None for vectors), or of two vocabularies.

    Data of another kind (a loader, say) say nothing here: that matters only to orograph's own networks.
    """
    source, target = (getattr(data, name, None) for name in ("source_vocabulary", "target_vocabulary"))
    if source is not None and target is not None:
        return dict(zip(_TEXT_SIZES, (len(source), len(target)), strict=True))
    shape: dict[str, Any] = {}
    if getattr(data, "classes", None) is not None:
        shape["classes"] = getattr(data, "classes", None)
    try:
        sizes = tuple(getattr(data, "input_shape", None) or ())
    except UsageError:  # batches are dictionaries, say
        sizes = ()
    if len(sizes) == 1:
        shape |= {"channels": sizes[0], "image_size": None}
    elif len(sizes) == 3:
        shape |= {"channels": sizes[0], "image_size": sizes[1] if sizes[1] == sizes[2] else sizes[1:]}
    return shape


def _check_known(name: str, data: FitsData | FitsText, shape: dict[str, Any]) -> None:
    """Data that says too little must not silently get a network for CIFAR-10."""
    if "source_words" in shape:
        raise ModelError(f"{name} takes images, and the data are sentences ({type(data).__name__}); use 'transformer'")
    if "classes" not in shape:
        raise UsageError(
            f"{name} needs to know .classes, which the data ({type(data).__name__}) has not; give classes="
        )
    if "channels" not in shape or "image_size" not in shape:
        raise ModelError(
            f"{name} takes inputs of .input_shape (channels, height, width) or (features,), and the data "
            f"({type(data).__name__}) has {getattr(data, 'input_shape', None)}; give channels= and image_size="
        )


def _own(
    name: str, data: FitsData | FitsText | None, given: dict[str, Any], options: dict[str, Any]
) -> tuple[Callable[..., nn.Module], dict[str, Any]]:
    if name not in _NETWORKS:
        other = _OTHER_NAMES.get(name.lower().replace("-", "").replace("_", ""), name.lower())
        hint = nearest(other, _NETWORKS)
        raise UsageError(
            f"no network is called {name!r}{hint}; yours are 'package.module:factory' or 'file.py:factory'"
        )
    network = _NETWORKS[name]
    for option in (*options, *(given if network.takes_text else ())):
        if option not in network.options():
            valid = ", ".join(network.options())
            raise UsageError(f"{name} has no option {option!r}{nearest(option, network.options())}; it has {valid}")
    shape = _shape(data) | given
    if network.takes_text:
        words = {size: count for size, count in (shape | options).items() if size in _TEXT_SIZES}
        if len(words) < 2:
            raise ModelError(
                f"{name} takes sentences and their translations, such as data.load('multi30k'); give data with two "
                "vocabularies, or source_words= and target_words="
            )
        return network.factory, {**network.arguments(), **words, **options}
    if data is not None:
        _check_known(name, data, shape)
    if shape.get("image_size", 0) is None and network.factory is not MLP:
        raise ModelError(f"{name} takes images, and the data has vectors of {shape['channels']} features; use 'mlp'")
    return network.factory, {**network.arguments(), **shape, **options}


def _yours(
    name: str | Callable[..., nn.Module],
    data: FitsData | FitsText | None,
    given: dict[str, Any],
    options: dict[str, Any],
) -> tuple[Callable[..., nn.Module], dict[str, Any]]:
    factory = load_reference(name) if isinstance(name, str) else name
    if isinstance(factory, nn.Module):
        if options:
            raise UsageError(f"{next(iter(options))!r} is an option for a factory; {name} is already built")
        # A network made when its file was imported: the caller's own, so there is nothing left to call.
        return (lambda: factory), {}
    if not callable(factory):
        raise UsageError(f"{_called(name)} is not a function or class that makes a network")
    try:
        signature = inspect.signature(factory)
    except ValueError:  # some built-in callables have none
        return factory, options
    by_name = [
        parameter.name
        for parameter in signature.parameters.values()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    ]
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature.parameters.values())
    for option in options:
        if option not in by_name and not takes_any:
            raise UsageError(f"{_called(name)} has no option {option!r}{nearest(option, by_name)}")
    offered = {"data": data, **_shape(data), **given}
    arguments = {key: value for key, value in offered.items() if key in by_name and value is not None} | options
    try:
        signature.bind(**arguments)
    except TypeError as error:
        raise UsageError(f"{_called(name)} cannot be called: {error}; give it as an option") from error
    return factory, arguments


def _called(name: object) -> str:
    """What to call the user's factory in an error."""
    return name if isinstance(name, str) else str(getattr(name, "__qualname__", type(name).__name__))
