"""What every object has: metadata, conditions, and how our models read and write themselves."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, ValidationError, model_validator
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core.core_schema import CoreSchema

from proctor.api.fields import Time, by, rules


class Spec(BaseModel):
    """A part of what the user declares. Unknown fields are refused: to act on half a spec is worse than not to act."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        defer_build=True,
        alias_generator=to_camel,
        populate_by_name=True,
    )


def _in_cel(name: str) -> str:
    # Words of CEL's own grammar are escaped when they are fields.
    return f"__{name}__" if name in {"loop", "namespace", "continue", "function", "package", "import"} else name


class OneOf(Spec):
    """A choice: exactly one of the fields that `CHOICES` names is set. The API server holds it as much as we do."""

    CHOICES: ClassVar[tuple[str, ...]] = ()

    @property
    def choice(self) -> str:
        """The name of the field that is set."""
        return next(name for name in self.CHOICES if getattr(self, name) is not None)

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(getattr(self, name) is not None for name in self.CHOICES) != 1:
            raise ValueError(self._demand())
        return self

    @classmethod
    def _outside(cls) -> list[str]:
        return [cls.model_fields[name].alias or name for name in cls.CHOICES]

    @classmethod
    def _demand(cls) -> str:
        *most, last = cls._outside()
        return f"exactly one of {', '.join(most)} and {last} must be set"

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        made = handler.resolve_ref_schema(handler(core_schema))
        present = ", ".join(f"has(self.{_in_cel(name)})" for name in cls._outside())
        one = rules((f"[{present}].filter(x, x).size() == 1", cls._demand()))
        made["x-kubernetes-validations"] = [*one["x-kubernetes-validations"], *made.get("x-kubernetes-validations", ())]
        return made


class Report(BaseModel):
    """A part of a status. Unknown fields are ignored: another version of proctor may have written them."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        use_attribute_docstrings=True,
        defer_build=True,
        alias_generator=to_camel,
        populate_by_name=True,
    )


class OwnerReference(Report):
    """`metav1.OwnerReference`, as far as we read it."""

    kind: str
    name: str
    uid: str
    controller: bool = False


class ObjectMeta(Report):
    """`metav1.ObjectMeta`, as far as we read it."""

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    creation_timestamp: Time | None = None
    deletion_timestamp: Time | None = None
    owner_references: tuple[OwnerReference, ...] = ()


class ConditionStatus(StrEnum):
    """`metav1.ConditionStatus`."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(Report):
    """`metav1.Condition`. The transition time moves only when the status does."""

    type: Annotated[str, Field(max_length=316)]
    status: ConditionStatus
    reason: Annotated[str, Field(pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$", min_length=1, max_length=1024)]
    message: Annotated[str, Field(max_length=32768)] = ""
    observed_generation: int = 0
    last_transition_time: Time


Conditions = Annotated[tuple[Condition, ...], Field(max_length=32, json_schema_extra=by("type"))]


class Status(Report):
    """What every status of ours has."""

    observed_generation: int = 0
    conditions: Conditions = ()

    def condition(self, type_: str) -> Condition | None:
        """The condition of that type, if it was ever written."""
        return next((each for each in self.conditions if each.type == type_), None)

    def dump(self) -> dict[str, Any]:
        """The status as JSON for the API server: nothing that is not set, and no list of nothing.

        The API server drops an associative list that server-side apply empties; sent or not, it must look the same.
        """
        dumped: dict[str, Any] = _without_empty(self.model_dump(mode="json", by_alias=True, exclude_none=True))
        return dumped


def _without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_empty(each) for key, each in value.items() if each not in ([], {})}
    if isinstance(value, list):
        return [_without_empty(each) for each in value]
    return value


class Object(BaseModel):
    """An object of one of our kinds. `Kind.parse(body)` is the only way in from the outside."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        use_attribute_docstrings=True,
        defer_build=True,
        alias_generator=to_camel,
        populate_by_name=True,
    )

    api_version: str
    kind: str
    metadata: ObjectMeta

    @classmethod
    def parse(cls, body: dict[str, Any]) -> Self:
        """The object in a body from the API server. Raises `Invalid`, which names each field and its fault."""
        try:
            return cls.model_validate(body)
        except ValidationError as exc:
            raise Invalid.of(exc) from exc

    @property
    def is_deleting(self) -> bool:
        """Whether someone asked for the object's deletion."""
        return self.metadata.deletion_timestamp is not None


class Invalid(ValueError):  # noqa: N818 - names the state of the object, as `Blocked` and `Retry` do
    """A body that is not an object of the kind. The text names each field and what is wrong with it."""

    @classmethod
    def of(cls, error: ValidationError) -> Invalid:
        """The message without the values, which may be secret."""
        found = (f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors(include_input=False))
        return cls("; ".join(found))
