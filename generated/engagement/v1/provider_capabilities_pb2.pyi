from engagement.v1 import sequence_step_pb2 as _sequence_step_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FieldSupport(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FIELD_SUPPORT_UNSPECIFIED: _ClassVar[FieldSupport]
    FIELD_SUPPORT_NATIVE: _ClassVar[FieldSupport]
    FIELD_SUPPORT_EMULATED: _ClassVar[FieldSupport]
    FIELD_SUPPORT_DROPPED: _ClassVar[FieldSupport]
    FIELD_SUPPORT_REFUSED: _ClassVar[FieldSupport]
FIELD_SUPPORT_UNSPECIFIED: FieldSupport
FIELD_SUPPORT_NATIVE: FieldSupport
FIELD_SUPPORT_EMULATED: FieldSupport
FIELD_SUPPORT_DROPPED: FieldSupport
FIELD_SUPPORT_REFUSED: FieldSupport

class ProviderCapabilities(_message.Message):
    __slots__ = ("provider", "connection_kinds", "connection_needs", "limits", "step_types")
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_KINDS_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_NEEDS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    STEP_TYPES_FIELD_NUMBER: _ClassVar[int]
    provider: str
    connection_kinds: _containers.RepeatedScalarFieldContainer[str]
    connection_needs: _containers.RepeatedCompositeFieldContainer[ConnectionNeed]
    limits: _containers.RepeatedScalarFieldContainer[str]
    step_types: _containers.RepeatedCompositeFieldContainer[StepTypeCapabilities]
    def __init__(self, provider: _Optional[str] = ..., connection_kinds: _Optional[_Iterable[str]] = ..., connection_needs: _Optional[_Iterable[_Union[ConnectionNeed, _Mapping]]] = ..., limits: _Optional[_Iterable[str]] = ..., step_types: _Optional[_Iterable[_Union[StepTypeCapabilities, _Mapping]]] = ...) -> None: ...

class ConnectionNeed(_message.Message):
    __slots__ = ("need", "field")
    NEED_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    need: str
    field: str
    def __init__(self, need: _Optional[str] = ..., field: _Optional[str] = ...) -> None: ...

class StepTypeCapabilities(_message.Message):
    __slots__ = ("type", "fields")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    type: _sequence_step_pb2.StepType
    fields: _containers.RepeatedCompositeFieldContainer[FieldCapability]
    def __init__(self, type: _Optional[_Union[_sequence_step_pb2.StepType, str]] = ..., fields: _Optional[_Iterable[_Union[FieldCapability, _Mapping]]] = ...) -> None: ...

class FieldCapability(_message.Message):
    __slots__ = ("field", "support", "note", "problem_type", "granularity_seconds", "limit")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    SUPPORT_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_TYPE_FIELD_NUMBER: _ClassVar[int]
    GRANULARITY_SECONDS_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    field: str
    support: FieldSupport
    note: str
    problem_type: str
    granularity_seconds: int
    limit: str
    def __init__(self, field: _Optional[str] = ..., support: _Optional[_Union[FieldSupport, str]] = ..., note: _Optional[str] = ..., problem_type: _Optional[str] = ..., granularity_seconds: _Optional[int] = ..., limit: _Optional[str] = ...) -> None: ...
