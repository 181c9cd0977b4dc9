"""Protobuf by hand, for bytes that no generated client sends."""


def varint(number: int) -> bytes:
    """A number as protobuf writes one; a negative one takes ten bytes."""
    number &= 2**64 - 1
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])


def number_field(field_number: int, number: int) -> bytes:
    return varint(field_number << 3) + varint(number)


def bytes_field(field_number: int, content: bytes) -> bytes:
    """A text, or a message inside another."""
    return varint(field_number << 3 | 2) + varint(len(content)) + content
