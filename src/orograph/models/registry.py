"""From a name, a factory or a finished module to a network that fits the data.

Orograph's own networks are those of the table in ``named``; the options of each are the keyword arguments of its class.
Your own are named ``package.module:factory`` or ``file.py:factory``, or handed over as a function or a module.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, Protocol

from torch import nn

from orograph.basics.errors import ModelError, OrographError, UsageError, nearest
from orograph.basics.references import is_reference, load_reference
from orograph.basics.seeds import derive, isolated_randomness
from orograph.models.mlp import MLP
from orograph.models.named import NETWORKS, OTHER_NAMES, TEXT_SIZES
from orograph.models.sizes import ImageSize


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
    name: one of ``known()``; ``package.module:factory`` or ``file.py:factory``; a factory; or an ``nn.Module``,
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
        return dict(zip(TEXT_SIZES, (len(source), len(target)), strict=True))
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
    if name not in NETWORKS:
        other = OTHER_NAMES.get(name.lower().replace("-", "").replace("_", ""), name.lower())
        hint = nearest(other, NETWORKS)
        raise UsageError(
            f"no network is called {name!r}{hint}; yours are 'package.module:factory' or 'file.py:factory'"
        )
    network = NETWORKS[name]
    for option in (*options, *(given if network.takes_text else ())):
        if option not in network.options():
            valid = ", ".join(network.options())
            raise UsageError(f"{name} has no option {option!r}{nearest(option, network.options())}; it has {valid}")
    shape = _shape(data) | given
    if network.takes_text:
        words = {size: count for size, count in (shape | options).items() if size in TEXT_SIZES}
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
