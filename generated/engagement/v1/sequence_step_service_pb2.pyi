from engagement.v1 import provider_capabilities_pb2 as _provider_capabilities_pb2
from engagement.v1 import sequence_step_pb2 as _sequence_step_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CreateSequenceStepRequest(_message.Message):
    __slots__ = ("sequence_id", "step", "request_id", "validate_only", "fail_on_warning")
    SEQUENCE_ID_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    FAIL_ON_WARNING_FIELD_NUMBER: _ClassVar[int]
    sequence_id: str
    step: _sequence_step_pb2.SequenceStep
    request_id: str
    validate_only: bool
    fail_on_warning: bool
    def __init__(self, sequence_id: _Optional[str] = ..., step: _Optional[_Union[_sequence_step_pb2.SequenceStep, _Mapping]] = ..., request_id: _Optional[str] = ..., validate_only: _Optional[bool] = ..., fail_on_warning: _Optional[bool] = ...) -> None: ...

class CreateSequenceStepResponse(_message.Message):
    __slots__ = ("id", "warnings", "planned_calls")
    ID_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    PLANNED_CALLS_FIELD_NUMBER: _ClassVar[int]
    id: str
    warnings: _containers.RepeatedCompositeFieldContainer[Warning]
    planned_calls: _containers.RepeatedCompositeFieldContainer[PlannedCall]
    def __init__(self, id: _Optional[str] = ..., warnings: _Optional[_Iterable[_Union[Warning, _Mapping]]] = ..., planned_calls: _Optional[_Iterable[_Union[PlannedCall, _Mapping]]] = ...) -> None: ...

class Warning(_message.Message):
    __slots__ = ("title", "detail", "problem_type", "field")
    TITLE_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_TYPE_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    title: str
    detail: str
    problem_type: str
    field: str
    def __init__(self, title: _Optional[str] = ..., detail: _Optional[str] = ..., problem_type: _Optional[str] = ..., field: _Optional[str] = ...) -> None: ...

class PlannedCall(_message.Message):
    __slots__ = ("method", "path", "body")
    METHOD_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    method: str
    path: str
    body: _struct_pb2.Struct
    def __init__(self, method: _Optional[str] = ..., path: _Optional[str] = ..., body: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class ListProviderCapabilitiesRequest(_message.Message):
    __slots__ = ("provider",)
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    provider: str
    def __init__(self, provider: _Optional[str] = ...) -> None: ...

class ListProviderCapabilitiesResponse(_message.Message):
    __slots__ = ("providers",)
    PROVIDERS_FIELD_NUMBER: _ClassVar[int]
    providers: _containers.RepeatedCompositeFieldContainer[_provider_capabilities_pb2.ProviderCapabilities]
    def __init__(self, providers: _Optional[_Iterable[_Union[_provider_capabilities_pb2.ProviderCapabilities, _Mapping]]] = ...) -> None: ...
