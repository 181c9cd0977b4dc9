from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StepType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STEP_TYPE_UNSPECIFIED: _ClassVar[StepType]
    STEP_TYPE_AUTO_EMAIL: _ClassVar[StepType]
    STEP_TYPE_MANUAL_EMAIL: _ClassVar[StepType]
    STEP_TYPE_CALL: _ClassVar[StepType]
    STEP_TYPE_TASK: _ClassVar[StepType]
    STEP_TYPE_LINKEDIN_SEND_MESSAGE: _ClassVar[StepType]
STEP_TYPE_UNSPECIFIED: StepType
STEP_TYPE_AUTO_EMAIL: StepType
STEP_TYPE_MANUAL_EMAIL: StepType
STEP_TYPE_CALL: StepType
STEP_TYPE_TASK: StepType
STEP_TYPE_LINKEDIN_SEND_MESSAGE: StepType

class SequenceStep(_message.Message):
    __slots__ = ("name", "interval_seconds", "date", "template", "is_reply", "order", "type", "task_note", "custom_fields")
    NAME_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    DATE_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    IS_REPLY_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    TASK_NOTE_FIELD_NUMBER: _ClassVar[int]
    CUSTOM_FIELDS_FIELD_NUMBER: _ClassVar[int]
    name: str
    interval_seconds: int
    date: str
    template: Template
    is_reply: bool
    order: int
    type: StepType
    task_note: str
    custom_fields: _struct_pb2.Struct
    def __init__(self, name: _Optional[str] = ..., interval_seconds: _Optional[int] = ..., date: _Optional[str] = ..., template: _Optional[_Union[Template, _Mapping]] = ..., is_reply: _Optional[bool] = ..., order: _Optional[int] = ..., type: _Optional[_Union[StepType, str]] = ..., task_note: _Optional[str] = ..., custom_fields: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class Template(_message.Message):
    __slots__ = ("id", "content")
    ID_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    id: str
    content: TemplateContent
    def __init__(self, id: _Optional[str] = ..., content: _Optional[_Union[TemplateContent, _Mapping]] = ...) -> None: ...

class TemplateContent(_message.Message):
    __slots__ = ("subject", "body_html", "name", "to", "cc", "bcc", "custom_fields")
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    BODY_HTML_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    CC_FIELD_NUMBER: _ClassVar[int]
    BCC_FIELD_NUMBER: _ClassVar[int]
    CUSTOM_FIELDS_FIELD_NUMBER: _ClassVar[int]
    subject: str
    body_html: str
    name: str
    to: _containers.RepeatedScalarFieldContainer[str]
    cc: _containers.RepeatedScalarFieldContainer[str]
    bcc: _containers.RepeatedScalarFieldContainer[str]
    custom_fields: _struct_pb2.Struct
    def __init__(self, subject: _Optional[str] = ..., body_html: _Optional[str] = ..., name: _Optional[str] = ..., to: _Optional[_Iterable[str]] = ..., cc: _Optional[_Iterable[str]] = ..., bcc: _Optional[_Iterable[str]] = ..., custom_fields: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...
