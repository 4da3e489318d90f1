"""Flat memory: a set of named arrays that crosses into machine code as a single pointer.

A `Flat` object holds numpy arrays as attributes, and a table of their addresses and shapes. Plain Python
reads the attributes; compiled code receives the table's address and finds the same arrays through it.
(Passing a tuple of twenty arrays instead makes every call carry some 150 machine arguments and multiplies
the time to compile by five: tried.)
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AttributeTemplate
from numba.extending import (
    NativeValue,
    infer_getattr,
    intrinsic,
    lower_getattr_generic,
    models,
    register_model,
    typeof_impl,
    unbox,
)
from numba.np import numpy_support
from numba.np.arrayobj import populate_array


class FlatType(types.Type):  # type: ignore[misc]
    """Compile-time face of a `Flat`: for each field its array type and its place in the table."""

    def __init__(self, name: str, fields: tuple[tuple[str, Any, int, int], ...]) -> None:
        self.fields = {field: (array, itemsize, place) for field, array, itemsize, place in fields}
        layout = hashlib.blake2b(repr(fields).encode(), digest_size=8).hexdigest()
        super().__init__(name=f"Flat_{name}_{layout}")  # short: it becomes part of every symbol's name


class Flat:
    """Named C-contiguous arrays. The arrays must stay where they are for the object's life."""

    def __init__(self, name: str, arrays: dict[str, np.ndarray[Any, Any]]) -> None:
        words: list[int] = []
        fields = []
        for field, array in arrays.items():
            if not array.flags.c_contiguous:
                raise ValueError(f"{name}.{field} must be C-contiguous")
            kind = types.Array(numpy_support.from_dtype(array.dtype), array.ndim, "C")
            fields.append((field, kind, array.dtype.itemsize, len(words)))
            words += [array.ctypes.data, *array.shape]
            setattr(self, field, array)
        self.table = np.array(words, np.int64)
        self.table_address = int(self.table.ctypes.data)
        self.flat_type = FlatType(name, tuple(fields))

    def __getattr__(self, name: str) -> Any:  # only for type checkers: real fields are instance attributes
        raise AttributeError(name)


@typeof_impl.register(Flat)  # type: ignore[untyped-decorator]
def _typeof_flat(value: Flat, _context: Any) -> FlatType:
    return value.flat_type


@register_model(FlatType)
class _FlatModel(models.OpaqueModel):  # type: ignore[misc]
    """A pointer to the table."""


@infer_getattr
class _FlatAttribute(AttributeTemplate):  # type: ignore[misc]
    key = FlatType

    def generic_resolve(self, flat: FlatType, attr: str) -> Any:
        found = flat.fields.get(attr)
        return found[0] if found else None


@lower_getattr_generic(FlatType)  # type: ignore[untyped-decorator]
def _lower_field(context: Any, builder: Any, flat: FlatType, value: Any, attr: str) -> Any:
    array_type, itemsize, place = flat.fields[attr]
    word = ir.IntType(64)
    table = builder.bitcast(value, word.as_pointer())

    def load(index: int) -> Any:
        found = builder.load(builder.gep(table, [ir.Constant(word, index)]))
        found.set_metadata("invariant.load", builder.module.add_metadata([]))  # no store can change the table
        return found

    array = context.make_array(array_type)(context, builder)
    data = builder.inttoptr(load(place), array.data.type)
    shape = [load(place + 1 + axis) for axis in range(array_type.ndim)]
    strides = [ir.Constant(word, itemsize)]
    for length in reversed(shape[1:]):
        strides.insert(0, builder.mul(strides[0], length))
    populate_array(
        array,
        data=data,
        shape=cgutils.pack_array(builder, shape),
        strides=cgutils.pack_array(builder, strides),
        itemsize=ir.Constant(word, itemsize),
        meminfo=None,
        parent=None,
    )
    return array._getvalue()


@unbox(FlatType)  # type: ignore[untyped-decorator]
def _unbox_flat(_flat: FlatType, obj: Any, c: Any) -> NativeValue:
    address = c.pyapi.object_getattr_string(obj, "table_address")
    pointer = c.pyapi.long_as_voidptr(address)
    c.pyapi.decref(address)
    return NativeValue(pointer, is_error=cgutils.is_not_null(c.builder, c.pyapi.err_occurred()))


@intrinsic  # type: ignore[untyped-decorator]
def as_flat(_typing: Any, address: Any, kind: Any) -> Any:
    """A table's address (void pointer or integer) as the `Flat` it belongs to; `kind` is a FlatType known when
    compiling."""

    def as_pointer(_context: Any, builder: Any, signature: Any, args: Any) -> Any:
        is_number = isinstance(signature.args[0], types.Integer)
        return builder.inttoptr(args[0], cgutils.voidptr_t) if is_number else args[0]

    return kind.instance_type(address, kind), as_pointer
