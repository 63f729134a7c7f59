"""Tidekeep's wire in Python 3.11: what docs/protocol.md says, as types that write and read bytes.

Values are plain Python: bytes, str, int, bool, None, lists, and dictionaries for messages. A variant
of an enum is its name, "always", or with fields a dictionary of one item, {"revision": 42}.
"""

import struct
from dataclasses import dataclass

# ---- Types: each writes a value behind `out` and reads one from a reader ----


class Malformed(Exception):
    """Bytes are not what their kind says."""


class Reader:
    """A body that is read from its start to its end."""

    def __init__(self, data):
        self.data, self.place = data, 0

    def take(self, count):
        end = self.place + count
        if end > len(self.data):
            raise Malformed(f"{count} bytes expected, {len(self.data) - self.place} left")
        taken, self.place = self.data[self.place : end], end
        return bytes(taken)

    def varint(self, bits):
        number = 0
        for shift in range(0, bits, 7):
            byte = self.take(1)[0]
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                if number >= 1 << bits:
                    break
                return number
        raise Malformed(f"a number does not fit {bits} bits")


def write_varint(out, number):
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)


class Unsigned:
    def __init__(self, bits):
        self.bits = bits

    def write(self, out, number):
        if not 0 <= number < 1 << self.bits:
            raise ValueError(f"{number} does not fit {self.bits} bits")
        write_varint(out, number)

    def read(self, reader):
        return reader.varint(self.bits)


class Signed:
    """i64: zigzag, so that small negative numbers are short too."""

    def write(self, out, number):
        if not -(1 << 63) <= number < 1 << 63:
            raise ValueError(f"{number} does not fit 64 bits")
        write_varint(out, number << 1 if number >= 0 else (-number << 1) - 1)

    def read(self, reader):
        number = reader.varint(64)
        return number >> 1 if number % 2 == 0 else -(number + 1 >> 1)


class Bool:
    def write(self, out, value):
        out.append(1 if value else 0)

    def read(self, reader):
        byte = reader.take(1)[0]
        if byte > 1:
            raise Malformed(f"a bool of {byte}")
        return byte == 1


class Bytes:
    def write(self, out, value):
        write_varint(out, len(value))
        out.extend(value)

    def read(self, reader):
        return reader.take(reader.varint(32))


class Text:
    def write(self, out, value):
        BYTES.write(out, value.encode())

    def read(self, reader):
        try:
            return BYTES.read(reader).decode()
        except UnicodeDecodeError as error:
            raise Malformed("a text is no UTF-8") from error


class Id16:
    """16 bytes without a length."""

    def write(self, out, value):
        if len(value) != 16:
            raise ValueError("an identity has 16 bytes")
        out.extend(value)

    def read(self, reader):
        return reader.take(16)


class Option:
    """A value that may be None."""

    def __init__(self, content):
        self.content = content

    def write(self, out, value):
        BOOL.write(out, value is not None)
        if value is not None:
            self.content.write(out, value)

    def read(self, reader):
        return self.content.read(reader) if BOOL.read(reader) else None


class List:
    def __init__(self, item):
        self.item = item

    def write(self, out, values):
        write_varint(out, len(values))
        for value in values:
            self.item.write(out, value)

    def read(self, reader):
        return [self.item.read(reader) for _ in range(reader.varint(32))]


class Struct:
    """Fields one behind the other; the value is a dictionary."""

    def __init__(self, **fields):
        self.fields = fields

    def write(self, out, value):
        if value.keys() != self.fields.keys():
            raise ValueError(f"fields {list(self.fields)} expected, not {list(value)}")
        for name, field in self.fields.items():
            field.write(out, value[name])

    def read(self, reader):
        return {name: field.read(reader) for name, field in self.fields.items()}


class Enum:
    """One of several variants, numbered in their order."""

    def __init__(self, **variants):
        self.variants = variants
        self.names = list(variants)

    def write(self, out, value):
        name, content = next(iter(value.items())) if isinstance(value, dict) else (value, None)
        variant = self.variants[name]
        write_varint(out, self.names.index(name))
        if variant is not None:
            variant.write(out, content)

    def read(self, reader):
        number = reader.varint(32)
        if number >= len(self.names):
            raise Malformed(f"variant {number} of {self.names}")
        name = self.names[number]
        variant = self.variants[name]
        return name if variant is None else {name: variant.read(reader)}


U16, U32, U64, I64 = Unsigned(16), Unsigned(32), Unsigned(64), Signed()
BOOL, BYTES, TEXT, ID16 = Bool(), Bytes(), Text(), Id16()


def encode(message, value):
    """The body of a message."""
    out = bytearray()
    message.write(out, value)
    return bytes(out)


def decode(message, body):
    """The fields of a message; its body must be filled exactly."""
    reader = Reader(body)
    value = message.read(reader)
    if reader.place != len(body):
        raise Malformed(f"{len(body) - reader.place} bytes left over")
    return value


# ---- Messages: the tables of docs/protocol.md ----

META = Struct(
    created=U64, modified=U64, version=U64, expires_at=Option(U64), lease=Option(U64)
)
STORED = Struct(meta=META, value=BYTES)
ENTRY = Struct(key=BYTES, stored=STORED)
CONDITION = Enum(always=None, absent=None, present=None, revision=U64, value=BYTES)
EXPIRY = Enum(never=None, keep=None, after=U64, at=U64, lease=U64)
RANGE = Struct(start=BYTES, end=Option(BYTES))
STATUS = Enum(applied=None, not_found=None, refused=None)
OUTCOME = Enum(not_applied=None, applied=None, unknown=None)

LIMITS = Struct(
    key_bytes=U32, value_bytes=U32, frame_bytes=U32, chunk_bytes=U32, message_bytes=U32,
    reply_bytes=U32, in_flight=U32, watches=U32, scan_entries=U32, txn_operations=U32,
)

EMPTY = Struct()
HELLO = Struct(version_min=U16, version_max=U16, features=U64, software=TEXT)
WELCOME = Struct(
    version=U16, features=U64, limits=LIMITS, server_id=ID16, store_id=ID16, incarnation=U64,
    heartbeat_ms=U32, now_ms=U64, software=TEXT,
)
GOING_AWAY = Struct(reconnect_after_ms=U32)
ERROR = Struct(code=U16, retryable=BOOL, outcome=OUTCOME, retry_after_ms=U32, message=TEXT)

GET = Struct(key=BYTES)
GET_REPLY = Struct(revision=U64, entry=Option(STORED))
PUT = Struct(key=BYTES, value=BYTES, condition=CONDITION, expiry=EXPIRY, previous=BOOL)
DELETE = Struct(key=BYTES, condition=CONDITION, previous=BOOL)
WRITE_REPLY = Struct(revision=U64, status=STATUS, entry=Option(STORED))
SCAN = Struct(
    range=RANGE, limit=U32, bytes=U32, order=Enum(ascending=None, descending=None),
    projection=Enum(full=None, keys=None, count=None),
)
SCAN_REPLY = Struct(revision=U64, count=U64, more=BOOL, entries=List(ENTRY))
CHILDREN = Struct(prefix=BYTES, delimiter=BYTES, after=Option(BYTES), limit=U32)
CHILDREN_REPLY = Struct(revision=U64, more=BOOL, children=List(Struct(name=BYTES, branch=BOOL)))
TOUCH = Struct(key=BYTES, expiry=EXPIRY, condition=CONDITION)
TOUCH_REPLY = Struct(revision=U64, status=STATUS, meta=Option(META))
INCREMENT = Struct(key=BYTES, by=I64, expiry=EXPIRY)
INCREMENT_REPLY = Struct(revision=U64, value=I64)
DELETE_RANGE = Struct(range=RANGE, limit=U32)
DELETE_RANGE_REPLY = Struct(revision=U64, deleted=U64, more=BOOL)

TXN_OP = Enum(
    get=GET, put=PUT, delete=DELETE, touch=TOUCH, increment=INCREMENT, delete_range=DELETE_RANGE
)
TXN_RESULT = Enum(
    get=GET_REPLY, put=WRITE_REPLY, delete=WRITE_REPLY, touch=TOUCH_REPLY,
    increment=INCREMENT_REPLY, delete_range=DELETE_RANGE_REPLY,
)
TXN = Struct(
    compares=List(Struct(key=BYTES, condition=CONDITION)), then=List(TXN_OP),
    otherwise=List(TXN_OP),
)
TXN_REPLY = Struct(revision=U64, succeeded=BOOL, results=List(TXN_RESULT))

WATCH = Struct(
    **{"range": RANGE, "from": Enum(now=None, content=None, cursor=BYTES), "previous": BOOL},
    delivery=Enum(every=None, latest=None),
)
KEY_GONE = Struct(key=BYTES, previous=Option(STORED))
EVENT = Enum(
    put=Struct(entry=ENTRY, previous=Option(STORED)), delete=KEY_GONE, expire=KEY_GONE, evict=KEY_GONE
)
POSITION = Struct(revision=U64, cursor=BYTES)
WATCH_MESSAGE = Enum(
    content=List(ENTRY), caught_up=POSITION,
    events=Struct(revision=U64, cursor=BYTES, events=List(EVENT)), bookmark=POSITION,
)
BACKUP = Struct(offset=U64)
BACKUP_REPLY = Struct(
    revision=U64, keys=U64, size=U64, offset=U64, done=BOOL, bytes=BYTES)
CLUSTER = Enum(
    status=None, token=Struct(name=TEXT, lives_ms=U64, uses=U32), drain=Struct(node=U64),
    keep=Struct(node=U64), remove=Struct(node=U64, force=BOOL), weigh=Struct(node=U64, weight=U16),
    transfer=Struct(group=U16, to=U64), split=Struct(groups=U16),
)
NODE_STATUS = Struct(
    node=U64, state=Enum(joining=None, active=None, draining=None, removed=None), since_ms=U64,
    up=BOOL, heard_ms_ago=Option(U64), client=TEXT, peer=TEXT, zone=TEXT, weight=U16, version=TEXT,
    replicas=U32, leads=U32,
)
GROUP_STATUS = Struct(
    group=Option(U16), leader=Option(U64), preferred=Option(U64), term=U64, applied=Option(U64),
    keys=U64,
    replicas=List(Struct(node=U64, votes=BOOL, lag=Option(U64), stopped=Option(TEXT))),
)
STEP_CHANGE = Enum(add_learner=None, promote=None, transfer_leader=None, remove_replica=None)
CLUSTER_STATUS = Struct(
    cluster=TEXT, coordinator=U64, replicas=U16, replicas_wanted=U16, epoch=U64,
    nodes=List(NODE_STATUS), meta=GROUP_STATUS, groups=List(GROUP_STATUS),
    under_way=List(Struct(group=U16, change=STEP_CHANGE, node=U64)), waits_for=Option(TEXT),
)
CLUSTER_REPLY = Enum(changed=None, token=TEXT, status=CLUSTER_STATUS)
STATUS_REPLY = Struct(software=TEXT, durability=TEXT, figures=List(Struct(name=TEXT, value=U64)))

LEASE_GRANT = Struct(ttl_ms=U64)
LEASE = Struct(lease=U64)
LEASE_REPLY = Struct(revision=U64, lease=U64, ttl_ms=U64, expires_at=U64)
LEASE_REVOKE_REPLY = Struct(revision=U64, deleted=U64)
LEASES = Struct(after=U64, limit=U32)
LEASES_REPLY = Struct(
    revision=U64, more=BOOL, leases=List(Struct(lease=U64, ttl_ms=U64, expires_at=U64, keys=U64))
)

SESSIONS = Struct(after=U64, limit=U32)
CONNECTED = Struct(
    id=U64, transport=TEXT, address=TEXT, client=TEXT, since_ms=U64, idle_ms=U64,
    session_since_ms=Option(U64), watches=U64, calls=U64, buffer_bytes=U64, received_bytes=U64,
    sent_bytes=U64,
)
SESSIONS_REPLY = Struct(
    node=Option(U64), connections=U64, remembered=U64, more=BOOL, sessions=List(CONNECTED)
)

REPLY = 0x80
KINDS = {
    0x01: HELLO, 0x02: WELCOME, 0x03: EMPTY, 0x04: EMPTY, 0x05: GOING_AWAY, 0x06: EMPTY,
    0x07: ERROR,
    0x10: GET, 0x10 | REPLY: GET_REPLY,
    0x11: PUT, 0x11 | REPLY: WRITE_REPLY,
    0x12: DELETE, 0x12 | REPLY: WRITE_REPLY,
    0x13: SCAN, 0x13 | REPLY: SCAN_REPLY,
    0x14: CHILDREN, 0x14 | REPLY: CHILDREN_REPLY,
    0x15: TOUCH, 0x15 | REPLY: TOUCH_REPLY,
    0x16: INCREMENT, 0x16 | REPLY: INCREMENT_REPLY,
    0x17: TXN, 0x17 | REPLY: TXN_REPLY,
    0x18: DELETE_RANGE, 0x18 | REPLY: DELETE_RANGE_REPLY,
    0x19: WATCH, 0x19 | REPLY: WATCH_MESSAGE,
    0x1A: EMPTY, 0x1A | REPLY: STATUS_REPLY,
    0x1B: LEASE_GRANT, 0x1B | REPLY: LEASE_REPLY,
    0x1C: LEASE, 0x1C | REPLY: LEASE_REPLY,
    0x1D: LEASE, 0x1D | REPLY: LEASE_REVOKE_REPLY,
    0x1E: LEASES, 0x1E | REPLY: LEASES_REPLY,
    0x20: BACKUP, 0x20 | REPLY: BACKUP_REPLY,
    0x21: CLUSTER, 0x21 | REPLY: CLUSTER_REPLY,
    0x22: SESSIONS, 0x22 | REPLY: SESSIONS_REPLY,
}

CODES = [
    "invalid-input", "too-large", "not-found", "conflict", "unsupported", "protocol", "version",
    "forbidden", "unauthenticated", "no-space", "resource-exhausted", "storage", "network",
    "timeout", "cancelled", "unavailable", "cursor-too-old", "slow-reader", "closed", "internal",
    "memory-full", "rate-limited", "too-many-connections", "too-many-watches", "over-budget",
    "outcome-unknown", "change-too-large",
]

# ---- Frames ----

PREFACE = b"\xf1TIDE\r\n\x01"
HEADER = struct.Struct("<IBBHI")
MORE = 0x01
DEADLINE = 0x01
REQUIRED = 0x80


class BadFrame(Exception):
    """Where the next frame would start is unknown: the connection must end."""


@dataclass
class Frame:
    """One frame, with its body not yet decoded."""

    kind: int
    id: int
    body: bytes = b""
    flags: int = 0
    extensions: list[tuple[int, bytes]] = ()

    def to_bytes(self):
        extensions = b"".join(
            struct.pack("<BH", tag, len(data)) + data for tag, data in self.extensions
        )
        length = 8 + len(extensions) + len(self.body)
        header = HEADER.pack(length, self.kind, self.flags, len(extensions), self.id)
        return header + extensions + self.body

    @staticmethod
    def from_bytes(data, limit):
        """The first frame of `data` and how many bytes it takes; None while it is not whole."""
        if len(data) < 4:
            return None
        (length,) = struct.unpack_from("<I", data)
        if length > limit:
            raise BadFrame("too-large")
        if length < 8:
            raise BadFrame("too-short")
        if len(data) < 4 + length:
            return None
        _, kind, flags, ext_len, id = HEADER.unpack_from(data)
        end = 12 + ext_len
        if end > 4 + length:
            raise BadFrame("extensions")
        extensions, place = [], 12
        while place < end:
            if place + 3 > end:
                raise BadFrame("extensions")
            tag, size = struct.unpack_from("<BH", data, place)
            place += 3 + size
            if place > end:
                raise BadFrame("extensions")
            extensions.append((tag, bytes(data[place - size : place])))
        body = bytes(data[end : 4 + length])
        return Frame(kind, id, body, flags, extensions), 4 + length

    def unknown_extension(self):
        """Whether an extension must be understood and is not."""
        return any(
            tag & REQUIRED and (tag != DEADLINE | REQUIRED or len(data) != 4)
            for tag, data in self.extensions
        )
