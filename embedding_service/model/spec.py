"""`--model NAME[=PLACE][:key=value,…]` into frozen values: which weights, and how their output becomes vectors.

PLACE is the name of an encoder given earlier (same weights, and its values for the keys not given; no keys at all: an alias)
or a folder; without it, the packaged minilm. Layers become positive here, in the order given: 1 = first block.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from embedding_service.model.checkpoint import Architecture
from embedding_service.model.folder_defaults import SHORTEST, packaged_folder, read_folder
from twohop.errors import InvalidInput

POOLINGS = ("mean", "max", "mean-max", "cls", "sep", "cls-pooled", "none")
PACKAGED = "minilm"
DEFAULT_MODELS = (
    "minilm",
    "rich=minilm:layers=-4..-1,normalize=no",
    "tokens=minilm:pooling=none,layers=4,normalize=no",
)
_KEYS = ("pooling", "layers", "normalize", "max_length", "mask_special")
_GRAMMAR = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]{0,63})(?:=(?P<place>.+?))?(?::(?P<keys>[a-z_]+=[^,:=]*(?:,[a-z_]+=[^,:=]*)*))?"
)
_ALLOWED = (
    f"NAME[=PLACE][:key=value,…] with keys pooling={'|'.join(POOLINGS)}, layers=-1 or -2+-1 or -4..-1, normalize=yes|no, "
    "max_length=TOKENS, mask_special=yes|no"
)


@dataclass(frozen=True, slots=True)
class EncoderSpec:
    """One encoder, all values known. `folder` holds config.json and the weights; `max_length` counts special tokens."""

    name: str
    folder: Path
    architecture: Architecture
    pooling: str
    layers: tuple[int, ...]
    normalize: bool
    max_length: int
    mask_special: bool
    aliases: tuple[str, ...] = ()
    unsupported: str | None = None

    @property
    def per_token(self) -> bool:
        return self.pooling == "none"

    @property
    def top(self) -> int:
        """The highest layer that has to be computed."""
        return max(self.layers)

    @property
    def dimension(self) -> int:
        if self.pooling == "cls-pooled":
            return self.architecture.hidden
        return self.architecture.hidden * len(self.layers) * (2 if self.pooling == "mean-max" else 1)


def parse_models(models: Sequence[str] = ()) -> tuple[EncoderSpec, ...]:
    """The encoders in the order given; aliases are folded into what they name. None given: minilm, rich and tokens.

    Raises InvalidInput naming the spec and what is allowed, Failed where weights are missing.
    """
    specs: dict[str, EncoderSpec] = {}
    named: dict[str, str] = {}                  # name or alias -> name of the encoder
    for model in models or DEFAULT_MODELS:
        name, place, keys = _parse(model)
        if name in named:
            raise _bad(model, f"the name {name!r} is given twice")
        earlier = named.get(place) if place else None
        if earlier is not None and not keys:
            specs[earlier] = replace(specs[earlier], aliases=(*specs[earlier].aliases, name))
            named[name] = earlier
            continue
        start = replace(specs[earlier], name=name, aliases=()) if earlier else _from_folder(model, name, place, list(named))
        specs[name] = _with_keys(model, start, keys)
        named[name] = name
    return tuple(specs.values())


def _parse(model: str) -> tuple[str, str | None, dict[str, str]]:
    match = _GRAMMAR.fullmatch(model)
    if match is None:
        raise _bad(model, "it cannot be read")
    keys: dict[str, str] = {}
    for pair in (match["keys"] or "").split(",") if match["keys"] else ():
        key, value = pair.split("=", 1)
        if key not in _KEYS:
            raise _bad(model, f"unknown key {key!r}")
        if key in keys:
            raise _bad(model, f"{key} is given twice")
        keys[key] = value
    return match["name"], match["place"], keys


def _from_folder(model: str, name: str, place: str | None, earlier: Sequence[str]) -> EncoderSpec:
    folder = Path(place).expanduser() if place else None
    if folder is None or (place == PACKAGED and not folder.is_dir()):
        folder = packaged_folder()
    elif not folder.is_dir():
        known = f"; encoders given earlier: {', '.join(earlier)}" if earlier else ""
        raise _bad(model, f"{place!r} is neither a folder nor the name of an encoder given earlier{known}")
    found = read_folder(folder.resolve())
    layer = found.architecture.layers if found.layers == "-1" else max(1, found.architecture.layers - 1)
    return EncoderSpec(name, found.weights, found.architecture, found.pooling, (layer,), found.normalize, found.max_length,
                       mask_special=False, unsupported=found.unsupported)


def _with_keys(model: str, start: EncoderSpec, keys: Mapping[str, str]) -> EncoderSpec:
    if start.unsupported and "pooling" not in keys:
        raise _bad(model, f"{start.unsupported}; say pooling=… to override")
    of = start.architecture
    pooling = keys.get("pooling", start.pooling)
    if pooling not in POOLINGS:
        raise _bad(model, f"pooling={pooling} is not known")
    layers = _layers(model, keys["layers"], of.layers) if "layers" in keys else start.layers
    if pooling == "cls-pooled":
        # The pooler reads the last layer and no other, whatever is inherited.
        if "layers" in keys and layers != (of.layers,):
            raise _bad(model, f"cls-pooled takes the last layer only (layers={of.layers} or no layers=)")
        layers = (of.layers,)
    return replace(
        start, pooling=pooling, layers=layers, unsupported=None,
        normalize=_yes(model, keys, "normalize", start.normalize),
        mask_special=_yes(model, keys, "mask_special", start.mask_special),
        max_length=_length(model, keys["max_length"], of.positions) if "max_length" in keys else start.max_length,
    )


def _layers(model: str, value: str, count: int) -> tuple[int, ...]:
    layers: list[int] = []
    for part in value.split("+"):
        if re.fullmatch(r"-?\d+(\.\.-?\d+)?", part) is None:
            raise _bad(model, f"layers={value} cannot be read")
        ends = [int(end) for end in part.split("..")]
        for end in ends:
            if not 1 <= abs(end) <= count:
                raise _bad(model, f"there is no layer {end}: the model has layers 1..{count}, or -{count}..-1 from the end")
        first, last = (end if end > 0 else count + 1 + end for end in (ends[0], ends[-1]))
        if first > last:
            raise _bad(model, f"the range {part} runs backwards")
        layers.extend(range(first, last + 1))
    if len(set(layers)) < len(layers):
        raise _bad(model, f"layers={value} takes a layer twice")
    return tuple(layers)


def _length(model: str, value: str, positions: int) -> int:
    if not re.fullmatch(r"\d{1,9}", value) or not SHORTEST <= int(value) <= positions:
        raise _bad(model, f"max_length={value} is not within {SHORTEST}..{positions} tokens, special ones counted")
    return int(value)


def _yes(model: str, keys: Mapping[str, str], key: str, otherwise: bool) -> bool:
    value = keys.get(key)
    if value not in (None, "yes", "no"):
        raise _bad(model, f"{key}={value} is neither yes nor no")
    return otherwise if value is None else value == "yes"


def _bad(model: str, why: str) -> InvalidInput:
    return InvalidInput(f"--model {model}: {why}. Allowed: {_ALLOWED}", detail={"model": model})
