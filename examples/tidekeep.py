#!/usr/bin/env python3
"""A small client for Tidekeep in Python 3.11, with nothing but the standard library.

It was written from docs/protocol.md alone and is meant to be read and copied, together with
tidekeep_wire.py beside it. As a program:

    python3 tidekeep.py HOST:PORT put name "John Doe"
    python3 tidekeep.py HOST:PORT get name

As a module:

    with Client("127.0.0.1:8080") as client:
        client.put("name", "John Doe", expiry={"after": 60_000})
        print(client.get("name").value)
        for message in client.watch(prefix("users/")):
            print(message)
"""

import queue
import socket
import struct
import sys
import threading
import time
from dataclasses import dataclass

import tidekeep_wire as wire
from tidekeep_wire import BadFrame, Frame, Malformed, decode, encode


class TidekeepError(Exception):
    """A request failed. `code` is one of wire.CODES, `outcome` says what became of the change."""

    def __init__(self, code, message, retryable=False, outcome="not_applied", retry_after_ms=0):
        super().__init__(f"{message or code} ({code})")
        self.code, self.retryable, self.outcome = code, retryable, outcome
        self.retry_after_ms = retry_after_ms

    @staticmethod
    def from_body(body):
        error = decode(wire.ERROR, body)
        known = 0 < error["code"] <= len(wire.CODES)
        error["code"] = wire.CODES[error["code"] - 1] if known else "internal"
        return TidekeepError(**error)


class Conflict(TidekeepError):
    """A condition did not hold. `entry` is what stood in the way, None if nothing does."""

    def __init__(self, entry):
        super().__init__("conflict", "the condition does not hold")
        self.entry = entry


@dataclass
class Entry:
    """A key with its value and what the store knows of it. Times are milliseconds."""

    key: bytes
    value: bytes
    created: int
    modified: int
    version: int
    expires_at: int | None
    lease: int | None

    @staticmethod
    def of(key, stored):
        return None if stored is None else Entry(key, stored["value"], **stored["meta"])


def to_bytes(value):
    return value.encode() if isinstance(value, str) else bytes(value)


def prefix(text):
    """The range of all keys that begin with a prefix."""
    start = to_bytes(text)
    kept = start.rstrip(b"\xff")
    return {"start": start, "end": kept[:-1] + bytes([kept[-1] + 1]) if kept else None}


EVERYTHING = {"start": b"", "end": None}


class Client:
    """One connection. Its methods may be called from several threads: requests share it and do not
    wait for each other. One thread writes, one reads what arrives and answers pings."""

    def __init__(self, address, timeout=10.0):
        host, _, port = address.rpartition(":")
        self.timeout = timeout
        self.lock = threading.Lock()  # guards the next three
        self.last_id = 0
        self.waiting = {}  # id of a request or watch: the queue of its answers
        self.failure = None
        self.outgoing = queue.SimpleQueue()  # frames, and None at the end
        self.received = bytearray()
        self.socket = socket.create_connection((host.strip("[]"), int(port)), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.welcome = self._shake_hands()
        except BaseException:
            self.socket.close()
            raise
        self.limits = self.welcome["limits"]
        for loop in (self._write, self._read):
            threading.Thread(target=loop, daemon=True, name="tidekeep").start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Ends the connection; what still waits fails with `closed`."""
        self._fail(TidekeepError("closed", "the client was closed", outcome="unknown"))

    # The operations: each is a section of docs/protocol.md.

    def get(self, key):
        """The entry of a key, or None."""
        key = to_bytes(key)
        return Entry.of(key, self.request(0x10, key=key)["entry"])

    def put(self, key, value, condition="always", expiry="never", previous=False):
        """Sets a value. Returns the revision and, if asked for, the entry before; raises Conflict
        if the condition does not hold."""
        fields = {"condition": condition, "expiry": expiry, "previous": previous}
        reply = self.request(0x11, key=to_bytes(key), value=to_bytes(value), **fields)
        return self._written(to_bytes(key), reply)

    def delete(self, key, condition="always", previous=False):
        """Removes a key. Returns as put does, or None if the key was absent."""
        reply = self.request(0x12, key=to_bytes(key), condition=condition, previous=previous)
        return None if reply["status"] == "not_found" else self._written(to_bytes(key), reply)

    def scan(self, range=EVERYTHING, order="ascending", projection="full", page=0):
        """Every entry of a range in order, fetched page by page."""
        more, range = True, dict(range)
        fields = {"limit": page, "bytes": 0, "order": order, "projection": projection}
        while more:
            reply = self.request(0x13, range=range, **fields)
            for entry in reply["entries"]:
                yield Entry.of(entry["key"], entry["stored"])
            more = reply["more"]
            if more:
                last = reply["entries"][-1]["key"]
                range |= {"start": last + b"\0"} if order == "ascending" else {"end": last}

    def count(self, range=EVERYTHING):
        """How many keys a range holds."""
        fields = {"limit": 0, "bytes": 0, "order": "ascending", "projection": "count"}
        return self.request(0x13, range=range, **fields)["count"]

    def children(self, prefix="", delimiter="/", page=0):
        """The names directly below a prefix, each with whether keys lie below it."""
        more, after = True, None
        fields = {"prefix": to_bytes(prefix), "delimiter": to_bytes(delimiter), "limit": page}
        while more:
            reply = self.request(0x14, after=after, **fields)
            for child in reply["children"]:
                after = child["name"]
                yield after, child["branch"]
            more = reply["more"]

    def touch(self, key, expiry, condition="always"):
        """Moves a key's end. Returns its metadata, or None if the key is absent."""
        reply = self.request(0x15, key=to_bytes(key), expiry=expiry, condition=condition)
        if reply["status"] == "refused":
            meta = reply["meta"]
            raise Conflict(meta and Entry(to_bytes(key), b"", **meta))
        return reply["meta"]

    def increment(self, key, by=1, expiry="keep"):
        """Adds to the number at a key and returns the sum."""
        return self.request(0x16, key=to_bytes(key), by=by, expiry=expiry)["value"]

    def txn(self, compares=(), then=(), otherwise=()):
        """Runs a transaction. `compares` are pairs of key and condition; operations are made with
        the functions op_get, op_put and so on. Returns whether the comparisons held, and the
        results in order."""
        compares = [{"key": to_bytes(key), "condition": holds} for key, holds in compares]
        reply = self.request(0x17, compares=compares, then=list(then), otherwise=list(otherwise))
        return reply["succeeded"], reply["results"]

    def delete_range(self, range):
        """Removes every key of a range and returns how many there were."""
        deleted, more = 0, True
        while more:
            reply = self.request(0x18, range=range, limit=0)
            deleted += reply["deleted"]
            more = reply["more"]
        return deleted

    def lease_grant(self, ttl_ms):
        """Makes a lease, and returns its number. Put keys with `expiry={"lease": number}`."""
        return self.request(0x1B, ttl_ms=ttl_ms)["lease"]

    def lease_keep_alive(self, lease):
        """Gives a lease its whole time again, and returns when it ends now."""
        return self.request(0x1C, lease=lease)["expires_at"]

    def lease_revoke(self, lease):
        """Ends a lease, and returns how many keys went with it."""
        return self.request(0x1D, lease=lease)["deleted"]

    def leases(self, page=0):
        """Every lease there is, oldest first."""
        more, after = True, 0
        while more:
            reply = self.request(0x1E, after=after, limit=page)
            yield from reply["leases"]
            more = reply["more"]
            after = reply["leases"][-1]["lease"] if more else 0

    def watch(self, range=EVERYTHING, since="content", previous=False, delivery="every"):
        """Starts a watch. To resume one, give `since={"cursor": …}` with its last cursor. With
        `delivery="latest"`, who falls behind gets the last change of each key only."""
        fields = {"range": range, "from": since, "previous": previous, "delivery": delivery}
        return Watch(self, fields)

    def status(self):
        """What the server says of itself."""
        reply = self.request(0x1A)
        return reply | {"figures": {each["name"]: each["value"] for each in reply["figures"]}}

    def ping(self):
        """The seconds that a ping and its pong take."""
        start = time.monotonic()
        _, answers = self.send(0x03, b"")
        self.answer(answers, self.timeout)
        return time.monotonic() - start

    def request(self, kind, **fields):
        """Sends a request and waits for the fields of its reply."""
        deadline = struct.pack("<I", int(self.timeout * 1000))
        body = encode(wire.KINDS[kind], fields)
        _, answers = self.send(kind, body, [(wire.DEADLINE, deadline)])
        return decode(wire.KINDS[kind | wire.REPLY], self.answer(answers, self.timeout))

    # Below the operations: frames.

    def send(self, kind, body, extensions=()):
        """Sends a frame with an id of its own; gives the id and the queue of its answers."""
        answers = queue.SimpleQueue()
        with self.lock:
            if self.failure is not None:
                raise self.failure
            self.last_id = id = self.last_id % 0xFFFF_FFFF + 1
            self.waiting[id] = answers
        self.outgoing.put(Frame(kind, id, body, extensions=extensions))
        return id, answers

    def answer(self, answers, timeout=None):
        """The body of the next answer, or what went wrong as an exception."""
        try:
            answer = answers.get(timeout=timeout)
        except queue.Empty:
            message = f"no answer within {timeout} seconds"
            raise TidekeepError("timeout", message, True, "unknown") from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    @staticmethod
    def _written(key, reply):
        entry = Entry.of(key, reply["entry"])
        if reply["status"] == "refused":
            raise Conflict(entry)
        return reply["revision"], entry

    def _shake_hands(self):
        hello = {"version_min": 1, "version_max": 1, "features": 0, "software": "tidekeep.py 1"}
        hello = Frame(0x01, 0, encode(wire.HELLO, hello))
        self.socket.sendall(wire.PREFACE + hello.to_bytes())
        frame = self._receive(4096)
        if frame.kind == 0x07:
            raise TidekeepError.from_body(frame.body)
        if frame.kind != 0x02:
            raise TidekeepError("protocol", f"kind {frame.kind:#x} instead of a welcome")
        return decode(wire.WELCOME, frame.body)

    def _write(self):
        """The writing thread, so that reading never waits for a server that does not read."""
        try:
            while (frame := self.outgoing.get()) is not None:
                self.socket.sendall(frame.to_bytes())
        except OSError as error:
            self._fail(TidekeepError("network", str(error), True, "unknown"))

    def _read(self):
        """The reading thread: hands each answer to who waits for it."""
        heartbeat = self.welcome["heartbeat_ms"] / 1000
        limit = 8 + 65_535 + self.limits["chunk_bytes"]
        parts = {}  # id: the bodies so far of a reply that comes in chunks
        try:
            while True:
                frame = self._receive(limit, heartbeat)
                if frame.kind == 0x03:
                    self.outgoing.put(Frame(0x04, frame.id))
                    continue
                if frame.kind == 0x07 and frame.id == 0:
                    raise TidekeepError.from_body(frame.body)
                body = parts.pop(frame.id, b"") + frame.body
                if frame.flags & wire.MORE:
                    if len(body) > self.limits["reply_bytes"]:
                        raise BadFrame("too-large")
                    parts[frame.id] = body
                elif frame.kind == 0x07:
                    self._settle(frame, TidekeepError.from_body(frame.body))
                else:
                    self._settle(frame, body)
        except TidekeepError as error:
            self._fail(error)
        except (OSError, BadFrame, Malformed) as error:
            self._fail(TidekeepError("network", str(error), True, "unknown"))

    def _settle(self, frame, answer):
        goes_on = frame.kind == 0x19 | wire.REPLY
        with self.lock:
            answers = self.waiting.get(frame.id) if goes_on else self.waiting.pop(frame.id, None)
        if answers is not None:
            answers.put(answer)

    def _receive(self, limit, heartbeat=None):
        """The next frame. With a heartbeat: pings after one beat of silence, fails after two."""
        self.socket.settimeout(heartbeat or self.timeout)
        pinged = False
        while (found := Frame.from_bytes(self.received, limit)) is None:
            try:
                data = self.socket.recv(65536)
            except TimeoutError:
                if heartbeat is None or pinged:
                    raise
                pinged = True
                self.outgoing.put(Frame(0x03, 0))
                continue
            if not data:
                raise ConnectionError("the server closed the connection")
            self.received += data
            pinged = False
        frame, length = found
        del self.received[:length]
        return frame

    def _fail(self, error):
        """Ends the connection and whatever waits for it."""
        with self.lock:
            self.failure = self.failure or error
            waiting, self.waiting = self.waiting, {}
        for answers in waiting.values():
            answers.put(self.failure)
        self.outgoing.put(None)
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it is down already
        self.socket.close()


class Watch:
    """The messages of a watch, in order: {"content": […]}, {"caught_up": {…}}, {"events": {…}},
    {"bookmark": {…}}. `cursor` is the last that came by: with it a new watch resumes after this
    one. An end by the server, or of the connection, is a TidekeepError."""

    def __init__(self, client, fields):
        self.client, self.cursor = client, None
        self.id, self.answers = client.send(0x19, encode(wire.WATCH, fields))

    def __iter__(self):
        return self

    def __next__(self):
        return self.next()

    def next(self, timeout=None):
        """The next message; waits at most `timeout` seconds for it, if that is given."""
        message = decode(wire.WATCH_MESSAGE, self.client.answer(self.answers, timeout))
        ((kind, content),) = message.items()
        if kind != "content":
            self.cursor = content["cursor"]
        return message

    def close(self):
        """Cancels the watch."""
        with self.client.lock:
            is_open = self.client.waiting.pop(self.id, None)
        if is_open:
            self.client.outgoing.put(Frame(0x06, self.id))


def op_get(key):
    return {"get": {"key": to_bytes(key)}}


def op_put(key, value, condition="always", expiry="never", previous=False):
    fields = {"condition": condition, "expiry": expiry, "previous": previous}
    return {"put": {"key": to_bytes(key), "value": to_bytes(value), **fields}}


def op_delete(key, condition="always", previous=False):
    return {"delete": {"key": to_bytes(key), "condition": condition, "previous": previous}}


def op_touch(key, expiry, condition="always"):
    return {"touch": {"key": to_bytes(key), "expiry": expiry, "condition": condition}}


def op_increment(key, by=1, expiry="keep"):
    return {"increment": {"key": to_bytes(key), "by": by, "expiry": expiry}}


def op_delete_range(range, limit=0):
    return {"delete_range": {"range": range, "limit": limit}}


USAGE = """usage: tidekeep.py HOST:PORT COMMAND
  get KEY | put KEY VALUE | delete KEY | incr KEY [BY] | touch KEY MILLISECONDS
  list [PREFIX] | children [PREFIX] | count [PREFIX] | delete-range PREFIX
  watch [PREFIX] | status | ping"""


def run(client, command, *arguments):
    """Runs one command and returns the exit code."""
    write = sys.stdout.buffer.write
    match command, arguments:
        case "get", (key,):
            entry = client.get(key)
            if entry is None:
                return 1
            write(entry.value + b"\n")
        case "put", (key, value):
            print(client.put(key, value)[0])
        case "delete", (key,):
            return 1 if client.delete(key) is None else 0
        case "incr", (key, *by):
            print(client.increment(key, *map(int, by)))
        case "touch", (key, milliseconds):
            return 1 if client.touch(key, {"after": int(milliseconds)}) is None else 0
        case "list", (*start,):
            for entry in client.scan(prefix("".join(start))):
                write(entry.key + b"\t" + entry.value + b"\n")
        case "children", (*start,):
            for name, _ in client.children("".join(start)):
                write(name + b"\n")
        case "count", (*start,):
            print(client.count(prefix("".join(start))))
        case "delete-range", (start,):
            print(client.delete_range(prefix(start)))
        case "watch", (*start,):
            for message in client.watch(prefix("".join(start))):
                print(message, flush=True)
        case "status", ():
            for name, value in client.status()["figures"].items():
                print(f"{name}\t{value}")
        case "ping", ():
            print(f"{client.ping() * 1000:.2f} ms")
        case _:
            print(USAGE, file=sys.stderr)
            return 2
    return 0


def main(arguments):
    if len(arguments) < 2:
        print(USAGE, file=sys.stderr)
        return 2
    try:
        with Client(arguments[0]) as client:
            return run(client, *arguments[1:])
    except KeyboardInterrupt:
        return 130
    except (TidekeepError, Malformed, OSError, ValueError) as error:
        print(f"tidekeep.py: {error}", file=sys.stderr)
        return 5 if isinstance(error, OSError) else 2 if isinstance(error, ValueError) else 6


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
