"""Models in a sample's store, as quick to read as other objects."""

from functools import cache
from typing import Any

from inspect_ai.util import StoreModel
from pydantic import BaseModel, TypeAdapter


class Stored(StoreModel):
    """A model in the store.

    Inspect builds a validator and copies the value whenever a field is read, which over an audit costs more than the
    models that audit. A value read back from a log is plain data and must be validated; one that was put there as
    objects need not be, and for the others a validator is built once.
    """

    def _coerce_value(self, field_name: str, value: Any) -> Any:
        first = value[0] if isinstance(value, list) and value else value
        if isinstance(first, BaseModel) or self._is_scalar(value) or value == []:
            return value
        return _validator(type(self), field_name).validate_python(value)


@cache
def _validator(model: type[BaseModel], field_name: str) -> TypeAdapter[Any]:
    annotation: Any = model.model_fields[field_name].annotation
    return TypeAdapter(annotation)
