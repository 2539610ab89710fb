"""Typed, strict configuration: defaults, then a YAML file, then dotted overrides.

A configuration is a frozen pydantic model; every section of it is one too:

    class TrainConfig(Config):
        steps: int = 1000
        optim: OptimConfig = OptimConfig()

    config = load_config(TrainConfig, "configs/tts/flatten.yaml", ["optim.lr=1e-4"])

A YAML file may begin with `base: other.yaml` (a path relative to itself) and then holds only what
differs. Mappings are merged key by key; anything else, lists too, is replaced as a whole.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import PydanticCustomError

ConfigT = TypeVar("ConfigT", bound="Config")
KeyPath = tuple[str | int, ...]  # ("optim", "betas", 0) is written optim.betas.0


class Config(BaseModel):
    """Base of every configuration: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _keys_are_known(cls, given: Any) -> Any:
        """Names what `extra="forbid"` would not: the keys that there are."""
        for key in given if isinstance(given, Mapping) else ():
            if key not in cls.model_fields:
                about = {"key": key, "known": list(cls.model_fields)}
                raise PydanticCustomError("unknown_key", "unknown key {key}", about)
        return given


def load_config(
    cls: type[ConfigT], path: str | Path | None = None, overrides: Sequence[str] = ()
) -> ConfigT:
    """Builds a `cls` from its defaults, a YAML file and dotted overrides, the later one winning.

    Args:
        cls: the configuration class.
        path: a YAML file; without one only the defaults and the overrides count.
        overrides: such as `"optim.lr=1e-4"`; the value is read as YAML.

    Raises:
        ValueError: unreadable file, malformed override, unknown key, or wrong type. One line that
            names the file or override, the dotted key and the remedy.
    """
    data: dict[str, Any] = {}
    sources: dict[KeyPath, str] = {}
    if path is not None:
        for file, layer in _read_layers(Path(path)):
            data = _merge(data, layer)
            sources.update(dict.fromkeys(_key_paths(layer), str(file)))
    for override in overrides:
        layer = _parse_override(override)
        data = _merge(data, layer)
        sources.update(dict.fromkeys(_key_paths(layer), f"override {override!r}"))
    try:
        return cls.model_validate(data)
    except ValidationError as error:
        where = str(path) if path is not None else cls.__name__
        raise ValueError(_explain(error, data, sources, where)) from None


def to_yaml(config: Config) -> str:
    """Writes a configuration in full, so that `load_config` rebuilds it from the text alone."""
    data = config.model_dump(mode="json")
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


# --- YAML as people expect it: `no` is a word, `3e-4` is a number, a key appears once ---


class _Loader(yaml.SafeLoader):
    """Reads the scalars of YAML 1.2 (the default of PyYAML is 1.1) and refuses repeated keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {name!r} appears twice", key.start_mark
                )
            seen.add(name)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Quotes a word that this loader, or a YAML 1.1 one, would take for something else."""


_FLOAT = re.compile(
    r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?$"  # .5  1.  1.5e3
    r"|[-+]?[0-9]+[eE][-+]?[0-9]+$"  # 3e-4
    r"|[-+]?\.inf$|\.nan$"
)
_SCALARS = (
    ("bool", re.compile(r"true$|True$|TRUE$|false$|False$|FALSE$"), "tTfF"),
    ("int", re.compile(r"[-+]?(0|[1-9][0-9_]*)$"), "-+0123456789"),
    ("float", _FLOAT, "-+.0123456789"),
    ("null", re.compile(r"~$|null$|Null$|NULL$|$"), ["~", "n", "N", ""]),
    ("merge", re.compile(r"<<$"), "<"),
)
_Loader.yaml_implicit_resolvers = {}
for _tag, _regexp, _first in _SCALARS:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", _regexp, list(_first))
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))


def parse_yaml(text: str, where: str) -> Any:
    """Reads YAML; an error is one line that begins with `where`."""
    try:
        return yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from None


def _read_layers(path: Path, children: tuple[Path, ...] = ()) -> list[tuple[Path, dict[str, Any]]]:
    """The files of one configuration, the deepest base first."""
    if path.resolve() in children:
        raise ValueError(f"{path}: `base` leads in a circle; remove one of the links")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(_cannot_read(path, error, children)) from None
    layer = parse_yaml(text, str(path))
    if layer is None:
        layer = {}
    if not isinstance(layer, dict):
        raise ValueError(f"{path}: expected `key: value` lines, found a {type(layer).__name__}")
    base = layer.pop("base", None)
    if base is None:
        return [(path, layer)]
    if not isinstance(base, str):
        raise ValueError(f"{path}: `base` is the path of one YAML file, got {base!r}")
    return [*_read_layers(path.parent / base, (*children, path.resolve())), (path, layer)]


def _cannot_read(path: Path, error: Exception, children: tuple[Path, ...]) -> str:
    named_by = f" (named as `base` in {children[-1]})" if children else ""
    if isinstance(error, FileNotFoundError):
        nearby = {file.stem: file.name for file in path.parent.glob("*.yaml")}
        match = get_close_matches(path.stem, nearby, n=1)
        hint = f"; did you mean {nearby[match[0]]}?" if match else ""
        return f"{path}: no such configuration file{named_by}{hint}"
    reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
    return f"{path}: cannot read the configuration file{named_by}: {reason}"


def _parse_override(override: str) -> dict[str, Any]:
    """`"a.b=1"` becomes `{"a": {"b": 1}}`."""
    key, equals, value = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise ValueError(f"override {override!r}: write it as key=value, such as optim.lr=1e-4")
    layer = parse_yaml(value, f"override {override!r}")
    for part in reversed(parts):
        layer = {part: layer}
    return dict(layer)


def _merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid on `under`: mappings key by key, everything else replaced."""
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            value = _merge(below, value)
        merged[key] = value
    return merged


def _key_paths(layer: Mapping[str, Any], prefix: KeyPath = ()) -> Iterator[KeyPath]:
    for key, value in layer.items():
        yield (*prefix, key)
        if isinstance(value, dict):
            yield from _key_paths(value, (*prefix, key))


# --- a pydantic error in one line ---


def _explain(
    error: ValidationError, data: Mapping[str, Any], sources: Mapping[KeyPath, str], where: str
) -> str:
    """Names the source, the key, what is wrong with it and what would be right."""
    first, *others = error.errors(include_url=False)
    unknown: dict[str, Any] = first["ctx"] if first["type"] == "unknown_key" else {}
    path = _path_in_data((*first["loc"], unknown["key"]) if unknown else first["loc"], data)
    source = next(
        (sources[path[:n]] for n in range(len(path), 0, -1) if path[:n] in sources), where
    )
    key = ".".join(map(str, path)) or "the whole"
    if unknown:
        match = get_close_matches(str(path[-1]), unknown["known"], n=1, cutoff=0.5)
        meant = f" (did you mean {match[0]!r}?)" if match else ""
        what = f"unknown key {key!r}{meant}; known keys: {', '.join(unknown['known'])}"
    elif first["type"] == "missing":
        what = f"{key!r} has no default; set it in the file or as {key}=..."
    else:
        got = repr(first["input"])
        got = got if len(got) <= 60 else got[:57] + "..."
        reason = first["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
        what = f"{key!r}: {' '.join(reason.split())} (got {got})"
    more = f" (and {len(others)} more)" if others else ""
    return f"{source}: {what}{more}"


def _path_in_data(loc: KeyPath, data: Any) -> KeyPath:
    """The keys of `loc` without the union tags that pydantic puts between them."""
    path: list[str | int] = []
    for i, part in enumerate(loc):
        inside = isinstance(part, int) or (isinstance(data, dict) and part in data)
        if inside:
            data = data[part]
        if inside or i == len(loc) - 1:
            path.append(part)
    return tuple(path)
