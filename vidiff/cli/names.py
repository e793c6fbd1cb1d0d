"""Registered names wherever jsonargparse asks for a class.

``install`` wraps private functions of jsonargparse, which ``tests/cli/test_names.py`` guards and
pyproject.toml pins. Components by names of the user's own (``dict[str, MakeCondition]``) are read
as options of these names.
"""

from __future__ import annotations

import copy
import functools
import inspect
from typing import Any, get_args, get_origin

from jsonargparse import Namespace, _typehints
from jsonargparse._util import NestedArg, get_import_path, import_object, indent_text

from vidiff.plugins import left_out
from vidiff.registry import Kind, list_components, list_kinds, nearest
from vidiff.yaml_files import teach_jsonargparse

_resolve_class = _typehints.resolve_class_path_by_name
_adapt = _typehints.adapt_typehints
_check_type = _typehints.ActionTypeHint._check_type
_normalize_default = _typehints.ActionTypeHint.normalize_default
_call_return_type = functools.cache(_typehints.get_protocol_call_return_type)


def install() -> None:
    """Teach jsonargparse the registered names and strict YAML; calling it twice does nothing."""
    teach_jsonargparse()
    _typehints.resolve_class_path_by_name = resolve
    _typehints.discard_init_args_on_class_path_change = forget_init_args
    # Asked thousands of times in a parse, a fifth of its time, and always the same of one class.
    _typehints.get_protocol_call_return_type = _call_return_type
    _typehints.adapt_typehints = adapt  # type: ignore[assignment]
    _typehints.ActionTypeHint._check_type = check_type  # type: ignore[method-assign]
    _typehints.ActionTypeHint.normalize_default = normalize_default  # type: ignore[method-assign]


def resolve(cls: type | tuple[type, ...], name: str) -> str:
    """The dotted path of the class that ``name`` means where a subclass of ``cls`` is asked for."""
    if "." in name:
        return name
    if isinstance(cls, tuple):
        return next((p for c in cls if "." in (p := _resolve_class(c, name))), name)
    kind = kind_of(cls)
    if kind is not None and name in kind.components:
        return str(get_import_path(kind.components[name].cls))
    path = _resolve_class(cls, name)
    if "." not in path and inspect.isclass(cls):
        raise ValueError(_unknown(kind, cls, name))
    return path


def kind_of(cls: Any) -> Kind | None:
    """The kind that a type hint asks for, if its base class is one's."""
    return next((kind for kind in list_kinds() if kind.base is cls), None)


def forget_init_args(parser: Any, previous: Any, value: Any) -> None:
    """Drop all settings of a class when another takes its place.

    jsonargparse keeps those whose names both classes know, so ``depth: 7`` meant for one class
    would silently reach the other.
    """
    if not previous or "init_args" not in previous:
        return
    old, new = previous["class_path"], value["class_path"]
    if old != new and import_object(old) is not import_object(new):
        previous["init_args"] = Namespace()


def factory_of_each(typehint: Any) -> Any:
    """``MakeCondition`` of ``dict[str, MakeCondition]``; None for other types."""
    if get_origin(typehint) is not dict:
        return None
    factory = get_args(typehint)[1]
    return factory if kind_of(_typehints.get_callable_return_type(factory)) else None


def adapt(val: Any, typehint: Any, **settings: Any) -> Any:
    """Parse components by name each as an option of its name; anything else as jsonargparse does.

    jsonargparse takes ``--conditions.text.text_dim 64`` for a component ``text.text_dim`` where
    ``text`` is a default, and leaves the name out of its errors.
    """
    factory = factory_of_each(typehint)
    if settings.get("instantiate_classes"):
        return _instantiated(val, typehint, settings)
    if factory is None or settings.get("serialize"):
        return _adapt(val, typehint, **settings)
    held = settings.get("prev_val")
    held = held if isinstance(held, dict) else {}
    if isinstance(val, NestedArg):
        name, _, inner = val.key.partition(".")
        inner = inner.removeprefix("init_args.")
        val = {**held, name: NestedArg(inner, val.val) if inner else val.val}
    elif not isinstance(val, dict):
        raise ValueError(f"Expected a dict of components by name. Got value: {val}")
    found = {}
    for name, part in val.items():
        try:
            found[name] = _adapt(part, factory, **settings | {"prev_val": held.get(name)})
        except (TypeError, ValueError) as error:
            raise ValueError(f'Parser key "{name}":\n{indent_text(str(error))}') from error
    return found


def _instantiated(val: Any, typehint: Any, settings: dict[str, Any]) -> Any:
    """What is built; an error is the constructor's own, without what null would have been."""
    try:
        return _adapt(val, typehint, **settings)
    except ValueError as error:
        cause = error.__cause__
        if isinstance(cause, ValueError) and str(error).startswith("Does not validate against any"):
            raise cause from None
        raise


def check_type(
    action: Any, value: Any, append: bool = False, cfg: Any = None, mode: Any = None
) -> Any:
    """Let an option change one of the default components by name, and keep the others."""
    one_of_them = isinstance(value, NestedArg) and factory_of_each(action._typehint)
    if one_of_them and not (cfg and isinstance(cfg.get(action.dest), dict)):
        cfg = Namespace(**{action.dest: copy.deepcopy(action.default)})
    return _check_type(action, value, append=append, cfg=cfg, mode=mode)


def normalize_default(action: Any, default: Any) -> Any:
    """Write default components by name as a config would."""
    if factory_of_each(action._typehint) and isinstance(default, dict):
        return {
            name: {"class_path": get_import_path(part)} if inspect.isclass(part) else part
            for name, part in default.items()
        }
    return _normalize_default(action, default)


def _unknown(kind: Kind | None, cls: type, name: str) -> str:
    if kind is not None:
        what, known = kind.name, list_components(kind.name)
    else:
        paths = _typehints.get_all_subclass_paths(cls)
        what, known = cls.__name__, sorted({path.rpartition(".")[2] for path in paths})
    listed = ", ".join(known) or "none"
    return f"unknown {what} {name!r}{nearest(name, known)}; known: {listed}{left_out()}"
