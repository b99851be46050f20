"""What Signal's websocket is made of: frames (RFC 6455) and protobuf messages, as far as the service needs them."""

from __future__ import annotations

import base64
import hashlib
import struct
from asyncio import StreamReader
from collections import defaultdict

TEXT_OR_BINARY, CLOSE, PING, PONG = (0, 1, 2), 8, 9, 10

# The fields of the messages of Signal-Server's SubProtocol.proto and of its envelope, by their tags.
REQUEST, RESPONSE = 1, 2

Fields = dict[int, list[int | bytes]]


def accept_key(key: str) -> str:
    """What a websocket's server answers to a client's key."""
    digest = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
    return base64.b64encode(digest).decode()


def frame(payload: bytes, opcode: int = 2) -> bytes:
    """A whole message in one frame, not masked, as a server sends it."""
    first, size = bytes([0x80 | opcode]), len(payload)
    if size < 126:
        return first + bytes([size]) + payload
    if size < 2**16:
        return first + b"\x7e" + struct.pack(">H", size) + payload
    return first + b"\x7f" + struct.pack(">Q", size) + payload


async def read_frame(reader: StreamReader) -> tuple[int, bool, bytes]:
    """The next frame: its opcode, whether the message ends with it, and its payload."""
    first, second = await reader.readexactly(2)
    size = second & 127
    if size == 126:
        (size,) = struct.unpack(">H", await reader.readexactly(2))
    elif size == 127:
        (size,) = struct.unpack(">Q", await reader.readexactly(8))
    mask = await reader.readexactly(4) if second & 128 else bytes(4)
    masked = await reader.readexactly(size)
    key = (mask * (size // 4 + 1))[:size]
    payload = (int.from_bytes(masked, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")
    return first & 15, bool(first & 128), payload


def message(*fields: tuple[int, int | bytes | str]) -> bytes:
    """A protobuf message of these tags and values."""
    encoded = bytearray()
    for tag, value in fields:
        if isinstance(value, int):
            encoded += _varint(tag << 3) + _varint(value)
        else:
            data = value.encode() if isinstance(value, str) else value
            encoded += _varint(tag << 3 | 2) + _varint(len(data)) + data
    return bytes(encoded)


def fields_of(data: bytes) -> Fields:
    """The values in a protobuf message by their tags."""
    fields: Fields = defaultdict(list)
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        match key & 7:
            case 0:
                value, at = _read_varint(data, at)
                fields[key >> 3].append(value)
                continue
            case 1:
                size = 8
            case 5:
                size = 4
            case _:
                size, at = _read_varint(data, at)
        fields[key >> 3].append(data[at : at + size])
        at += size
    return fields


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        number |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return number, at
