from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Priority(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PRIORITY_UNSPECIFIED: _ClassVar[Priority]
    PRIORITY_ONLINE: _ClassVar[Priority]
    PRIORITY_BULK: _ClassVar[Priority]

class Dtype(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DTYPE_UNSPECIFIED: _ClassVar[Dtype]
    DTYPE_FLOAT32: _ClassVar[Dtype]
    DTYPE_FLOAT16: _ClassVar[Dtype]
PRIORITY_UNSPECIFIED: Priority
PRIORITY_ONLINE: Priority
PRIORITY_BULK: Priority
DTYPE_UNSPECIFIED: Dtype
DTYPE_FLOAT32: Dtype
DTYPE_FLOAT16: Dtype

class EmbedRequest(_message.Message):
    __slots__ = ("encoder", "texts", "pairs", "expect_fingerprint", "priority", "refuse_truncation", "dtype")
    ENCODER_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    PAIRS_FIELD_NUMBER: _ClassVar[int]
    EXPECT_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    REFUSE_TRUNCATION_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    encoder: str
    texts: _containers.RepeatedScalarFieldContainer[str]
    pairs: _containers.RepeatedScalarFieldContainer[str]
    expect_fingerprint: str
    priority: Priority
    refuse_truncation: bool
    dtype: Dtype
    def __init__(self, encoder: _Optional[str] = ..., texts: _Optional[_Iterable[str]] = ..., pairs: _Optional[_Iterable[str]] = ..., expect_fingerprint: _Optional[str] = ..., priority: _Optional[_Union[Priority, str]] = ..., refuse_truncation: bool = ..., dtype: _Optional[_Union[Dtype, str]] = ...) -> None: ...

class EmbedResponse(_message.Message):
    __slots__ = ("encoder", "fingerprint", "numerics", "dimension", "dtype", "vectors", "rows", "tokens", "tokens_total", "timings", "estimated_wait_us")
    ENCODER_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    NUMERICS_FIELD_NUMBER: _ClassVar[int]
    DIMENSION_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    VECTORS_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    TOKENS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_WAIT_US_FIELD_NUMBER: _ClassVar[int]
    encoder: str
    fingerprint: str
    numerics: str
    dimension: int
    dtype: Dtype
    vectors: bytes
    rows: _containers.RepeatedScalarFieldContainer[int]
    tokens: _containers.RepeatedScalarFieldContainer[int]
    tokens_total: _containers.RepeatedScalarFieldContainer[int]
    timings: ServerTimings
    estimated_wait_us: int
    def __init__(self, encoder: _Optional[str] = ..., fingerprint: _Optional[str] = ..., numerics: _Optional[str] = ..., dimension: _Optional[int] = ..., dtype: _Optional[_Union[Dtype, str]] = ..., vectors: _Optional[bytes] = ..., rows: _Optional[_Iterable[int]] = ..., tokens: _Optional[_Iterable[int]] = ..., tokens_total: _Optional[_Iterable[int]] = ..., timings: _Optional[_Union[ServerTimings, _Mapping]] = ..., estimated_wait_us: _Optional[int] = ...) -> None: ...

class ServerTimings(_message.Message):
    __slots__ = ("tokenize_us", "queue_us", "compute_us", "total_us", "cached_texts")
    TOKENIZE_US_FIELD_NUMBER: _ClassVar[int]
    QUEUE_US_FIELD_NUMBER: _ClassVar[int]
    COMPUTE_US_FIELD_NUMBER: _ClassVar[int]
    TOTAL_US_FIELD_NUMBER: _ClassVar[int]
    CACHED_TEXTS_FIELD_NUMBER: _ClassVar[int]
    tokenize_us: int
    queue_us: int
    compute_us: int
    total_us: int
    cached_texts: int
    def __init__(self, tokenize_us: _Optional[int] = ..., queue_us: _Optional[int] = ..., compute_us: _Optional[int] = ..., total_us: _Optional[int] = ..., cached_texts: _Optional[int] = ...) -> None: ...

class ListEncodersRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListEncodersResponse(_message.Message):
    __slots__ = ("encoders", "limits", "service_version")
    ENCODERS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    SERVICE_VERSION_FIELD_NUMBER: _ClassVar[int]
    encoders: _containers.RepeatedCompositeFieldContainer[Encoder]
    limits: Limits
    service_version: str
    def __init__(self, encoders: _Optional[_Iterable[_Union[Encoder, _Mapping]]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., service_version: _Optional[str] = ...) -> None: ...

class Encoder(_message.Message):
    __slots__ = ("name", "aliases", "fingerprint", "identity_json", "numerics", "dimension", "per_token", "max_length", "normalized", "ready")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_JSON_FIELD_NUMBER: _ClassVar[int]
    NUMERICS_FIELD_NUMBER: _ClassVar[int]
    DIMENSION_FIELD_NUMBER: _ClassVar[int]
    PER_TOKEN_FIELD_NUMBER: _ClassVar[int]
    MAX_LENGTH_FIELD_NUMBER: _ClassVar[int]
    NORMALIZED_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    name: str
    aliases: _containers.RepeatedScalarFieldContainer[str]
    fingerprint: str
    identity_json: str
    numerics: str
    dimension: int
    per_token: bool
    max_length: int
    normalized: bool
    ready: bool
    def __init__(self, name: _Optional[str] = ..., aliases: _Optional[_Iterable[str]] = ..., fingerprint: _Optional[str] = ..., identity_json: _Optional[str] = ..., numerics: _Optional[str] = ..., dimension: _Optional[int] = ..., per_token: bool = ..., max_length: _Optional[int] = ..., normalized: bool = ..., ready: bool = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("max_texts", "max_request_bytes", "max_response_bytes")
    MAX_TEXTS_FIELD_NUMBER: _ClassVar[int]
    MAX_REQUEST_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_RESPONSE_BYTES_FIELD_NUMBER: _ClassVar[int]
    max_texts: int
    max_request_bytes: int
    max_response_bytes: int
    def __init__(self, max_texts: _Optional[int] = ..., max_request_bytes: _Optional[int] = ..., max_response_bytes: _Optional[int] = ...) -> None: ...
