"""Finds the parameter of the program that a tensor is: the one whose memory, or whose gradient's memory, it uses.

Modules are held by weak references, and their parameters are read on demand.
"""

from __future__ import annotations

import gc
import itertools
import weakref
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import torch
from torch.nn.modules import module as hooks

from ..traces.model import Argument
from . import torch_api

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What wrappers of torch put into the names of parameters; a rank may have wrapped a module that another has not.
_WRAPPERS: Final = frozenset({"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
#: A module that stands in so many places of a model has no more names than that.
_MOST_NAMES: Final = 8
#: After so many tensors that are no known parameter, modules are looked for again.
_RETRIES: Final = frozenset(8 << doubled for doubled in range(10))
#: How often the names are made anew because a parameter has got other memory; later it has none.
_RENEWALS: Final = 16
_KEPT: Final = ("_parameters", "_buffers")


class _Slot(NamedTuple):
    """A module attribute that holds a parameter or a buffer: its names, and its memory when it was last indexed."""

    module: weakref.ref[Any]
    kept: str
    attribute: str
    names: list[str]
    memory: int


class Parameters:
    """The parameters and buffers of all modules of this process, also of those that are still to come."""

    def __init__(self) -> None:
        """Find the modules that there are, once, and have torch report each that gets a parameter, buffer or module."""
        self._modules: dict[int, weakref.ref[Any]] = {}
        #: By size in bytes.
        self._slots: dict[int, list[_Slot]] = {}
        #: By size in bytes, where the last tensor was found: programs go through their parameters in order.
        self._last: dict[int, int] = {}
        self._is_stale = True
        self._misses = 0
        self._renewals = _RENEWALS
        self._search()
        hooks.register_module_parameter_registration_hook(self._changed)
        hooks.register_module_module_registration_hook(self._changed)
        hooks.register_module_buffer_registration_hook(self._buffered)

    def of(self, tensor: torch.Tensor) -> Argument | None:
        """The parameter, gradient or buffer that alone occupies a tensor's storage; None if there is none."""
        if self._is_stale:
            self._is_stale = False
            self._slots = _indexed([module for ref in list(self._modules.values()) if (module := ref()) is not None])
            self._last.clear()
        size, memory = tensor.untyped_storage().nbytes(), torch_api.memory(tensor)
        slots = self._slots.get(size, ())
        last = self._last.get(size, -1)
        # In the order of the program, or of its backward pass; or the same one again.
        near = [number for number in (last + 1, last - 1, last) if 0 <= number < len(slots)]
        for number in itertools.chain(near, range(len(slots))):
            slot = slots[number]
            held = _held(slot)
            if held is None:
                continue
            if torch_api.memory(held) == memory:
                part = "parameter" if slot.kept == "_parameters" else "buffer"
            elif held.is_leaf and torch_api.is_plain(held.grad) and torch_api.memory(held.grad) == memory:
                part = "gradient"
            else:
                continue
            if torch_api.memory(held) != slot.memory:
                # It was given other memory (`.data = `), which may be that of another parameter. Programs may do that in each step.
                if self._renewals == 0:
                    return None
                self._renewals -= 1
                self._is_stale = True
                return self.of(tensor)
            self._last[size] = number
            return Argument(part, tuple(slot.names))
        self._misses += 1
        if self._misses in _RETRIES:
            # Copied and loaded modules are not reported. Less and less often: other tensors are no parameters at all.
            self._search()
        return None

    def _search(self) -> None:
        kinds: dict[type, bool] = {}
        for found in gc.get_objects():
            # isinstance would call a `__class__` of the program's own.
            kind = type(found)
            if kinds.get(kind) or (kind not in kinds and kinds.setdefault(kind, issubclass(kind, torch.nn.Module))):
                self._known(found)

    def _changed(self, module: Any, _: str, __: Any) -> None:
        self._known(module)
        self._is_stale = True

    def _buffered(self, module: Any, name: str, _: Any) -> None:
        # A model may set the same buffer in each step.
        if _members(module, "_buffers").get(name) is None:
            self._changed(module, name, None)

    def _known(self, module: Any) -> None:
        key = id(module)
        known = self._modules.get(key)
        if known is None or known() is not module:
            self._modules[key] = weakref.ref(module, lambda ref: self._forget(key, ref))
            self._is_stale = True

    def _forget(self, key: int, ref: Any) -> None:
        if self._modules.get(key) is ref:
            del self._modules[key]


def _members(module: Any, kind: str) -> dict[str, Any]:
    """One of a module's dictionaries; {} for a module without them, such as those of TorchScript."""
    found = vars(module).get(kind)
    return found if isinstance(found, dict) else {}


def _held(slot: _Slot) -> torch.Tensor | None:
    """The tensor in the slot now; None unless it is a plain one with memory of its own."""
    module = slot.module()
    held = _members(module, slot.kept).get(slot.attribute) if module is not None else None
    return held if torch_api.is_plain(held) else None


def _indexed(modules: list[Any]) -> dict[int, list[_Slot]]:
    """All slots by the size of their tensor in bytes. A shared parameter has one slot with all its names."""
    children = _below(modules)
    by_memory: dict[int, _Slot] = {}
    found: defaultdict[int, list[_Slot]] = defaultdict(list)
    for root in modules:
        if id(root) in children:
            continue
        for module, prefix in _walk(root):
            for slot in _slots(module, prefix):
                held = _held(slot)
                if held is None:
                    continue
                slot = slot._replace(memory=torch_api.memory(held))
                known = by_memory.setdefault(slot.memory, slot)
                if known is slot:
                    found[held.numel() * held.element_size()].append(slot)
                elif len(known.names) < _MOST_NAMES:
                    known.names.extend(slot.names)
    return found


def _below(modules: list[Any]) -> set[int]:
    """The ids of all modules that are submodules of another one."""
    found: set[int] = set()
    pending = [child for module in modules for child in list(_members(module, "_modules").values())]
    while pending:
        module = pending.pop()
        if module is not None and id(module) not in found:
            found.add(id(module))
            pending += list(_members(module, "_modules").values())
    return found


def _walk(root: Any) -> Iterator[tuple[Any, str]]:
    """A module and all its submodules, each with the prefix of its members' names."""
    visits: Counter[int] = Counter()
    pending = [(root, "")]
    while pending:
        module, prefix = pending.pop()
        visits[id(module)] += 1
        if visits[id(module)] > _MOST_NAMES:
            continue
        yield module, prefix
        below = [(name, child) for name, child in list(_members(module, "_modules").items()) if child is not None]
        pending += [(child, prefix if name in _WRAPPERS else f"{prefix}{name}.") for name, child in reversed(below)]


def _slots(module: Any, prefix: str) -> Iterator[_Slot]:
    for kept in _KEPT:
        for name in list(_members(module, kept)):
            yield _Slot(weakref.ref(module), kept, name, [prefix + name], 0)
