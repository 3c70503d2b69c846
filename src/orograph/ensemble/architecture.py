"""How to build a network again: a name with its options and the sizes of the data, as an ensemble's folder notes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from torch import nn

from orograph.basics.errors import UsageError
from orograph.basics.keys import plain
from orograph.basics.references import is_reference, source_hash
from orograph.models import build


@dataclass(frozen=True)
class Architecture:
    """A network by name. It stands in for the data when the network is built.

    Attributes
    ----------
    name : one of orograph's own (``og.models.known()``), or ``package.module:factory`` or ``file.py:factory``
    classes : number of outputs
    input_shape : (channels, height, width) of an image, (features,) of a vector
    options : further arguments of the network, plain words and numbers
    source : SHA-256 of the file that defines a factory, "" where unknown and for orograph's own
    """

    name: str
    classes: int
    input_shape: tuple[int, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""

    @classmethod
    def of(cls, name: str, data: Any, **options: Any) -> Self:
        """The network that ``og.models.build(name, data, **options)`` builds; of a factory its source is noted.

        Raises UsageError where an option is neither text nor a number, nor a list of such.
        """
        try:
            plain(options)
        except TypeError as error:
            raise UsageError(f"the options of {name} cannot be written down: {error}") from error
        source = source_hash(name) if is_reference(name) else ""
        return cls(name, int(data.classes), tuple(data.input_shape), options, source)

    @property
    def is_foreign(self) -> bool:
        """Whether building it imports code that is not orograph's."""
        return is_reference(self.name)

    def build(self) -> nn.Module:
        """A network of this architecture, the global random state untouched; errors as of ``og.models.build``.

        A reference is imported, which runs its module.
        """
        return build(self.name, self, seed=0, **self.options)
