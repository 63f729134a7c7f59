#!/usr/bin/env python3
"""Tests of tidekeep.py: against the golden vectors, and, with TIDEKEEP_ADDR=HOST:PORT, against a
live server. Its keys are all under a prefix of their own, which is empty again afterwards.

    python3 examples/test_tidekeep.py
    TIDEKEEP_ADDR=127.0.0.1:8080 python3 examples/test_tidekeep.py
"""

import json
import os
import pathlib
import socket
import subprocess
import sys
import unittest

import tidekeep_wire as wire
from tidekeep import (
    Client, Conflict, TidekeepError, op_delete, op_delete_range, op_get, op_increment, op_put,
    op_touch, prefix,
)
from tidekeep_wire import BadFrame, Frame, Malformed, decode, encode

VECTORS = pathlib.Path(__file__).parent.parent / "protocol" / "vectors"
ADDRESS = os.environ.get("TIDEKEEP_ADDR")
LIMIT = 4 << 20
HOUR = {"after": 3_600_000}


def read_vectors():
    """The blocks of every vector file, as lists of name and value."""
    for path in sorted(VECTORS.glob("*.txt")):
        for block in path.read_text("utf-8").strip().split("\n\n")[1:]:
            lines = [line for line in block.split("\n") if not line.startswith("#")]
            yield path.name, [tuple(line.split(": ", 1)) for line in lines]


def from_json(message, value):
    """A message's fields as Python, from those of a vector."""
    match message:
        case wire.Bytes() | wire.Id16():
            is_hex = value.startswith("hex:")
            return bytes.fromhex(value[4:]) if is_hex else value.encode()
        case wire.Unsigned() | wire.Signed():
            return int(value)
        case wire.Option():
            return None if value is None else from_json(message.content, value)
        case wire.List():
            return [from_json(message.item, item) for item in value]
        case wire.Struct():
            assert value.keys() == message.fields.keys(), value
            return {name: from_json(field, value[name]) for name, field in message.fields.items()}
        case wire.Enum() if isinstance(value, dict):
            ((name, content),) = value.items()
            return {name: from_json(message.variants[name], content)}
    return value


def refusal(data):
    """What is wrong with bytes, in the words of the vectors."""
    try:
        found = Frame.from_bytes(data, LIMIT)
    except BadFrame as error:
        return str(error)
    if found is None:
        return "incomplete"
    frame, _ = found
    if frame.unknown_extension():
        return "unknown-extension"
    if frame.kind not in wire.KINDS:
        return "unknown-kind"
    try:
        decode(wire.KINDS[frame.kind], frame.body)
    except Malformed:
        return "malformed"
    return "nothing"


class Vectors(unittest.TestCase):
    def test_vectors(self):
        seen = 0
        for file, lines in read_vectors():
            fields = dict(lines)
            frames = [bytes.fromhex(value) for name, value in lines if name == "bytes"]
            with self.subTest(file=file, name=fields["name"]):
                if "expect" in fields:
                    self.assertEqual(fields["expect"], "error " + refusal(frames[0]))
                else:
                    self.check(fields, lines, frames)
            seen += 1
        self.assertGreater(seen, 200)

    def test_slots(self):
        """The function of the page itself, as it stands there."""
        page = pathlib.Path(__file__).parent.parent / "docs" / "protocol.md"
        names = {}
        exec(page.read_text("utf-8").split("```python\n")[1].split("```")[0], names)
        rows = (VECTORS / "slots.tsv").read_text("utf-8").splitlines()[1:]
        self.assertGreater(len(rows), 10)
        for row in rows:
            key, _, slot = row.split("\t")
            self.assertEqual(names["slot_of"](bytes.fromhex(key)), int(slot), row)

    def check(self, fields, lines, frames):
        kind, id = int(fields["kind"], 16), int(fields["id"])
        message = wire.KINDS[kind]
        value = from_json(message, json.loads(fields["json"]))
        extensions = [entry.split("=") for name, entry in lines if name == "ext"]
        extensions = [(int(tag, 16), bytes.fromhex(data)) for tag, data in extensions]

        body = b""
        for index, data in enumerate(frames):
            frame, length = Frame.from_bytes(data, LIMIT)
            more = wire.MORE if index + 1 < len(frames) else 0
            expected = (len(data), kind, id, int(fields["flags"]) | more, extensions)
            read = (length, frame.kind, frame.id, frame.flags, frame.extensions)
            self.assertEqual(read, expected)
            self.assertFalse(frame.unknown_extension())
            body += frame.body
            for end in range(len(data)):
                self.assertIsNone(Frame.from_bytes(data[:end], LIMIT))
        self.assertEqual(decode(message, body), value)

        size = int(fields.get("chunk_bytes", len(body) or 1))
        starts = range(0, len(body) or 1, size)
        written = [
            Frame(
                kind, id, encode(message, value)[start : start + size],
                int(fields["flags"]) | (0 if start + size >= len(body) else wire.MORE), extensions,
            ).to_bytes()
            for start in starts
        ]
        self.assertEqual(written, frames)


@unittest.skipUnless(ADDRESS, "TIDEKEEP_ADDR names no server")
class Live(unittest.TestCase):
    def setUp(self):
        self.client = Client(ADDRESS)
        self.addCleanup(self.client.close)
        self.root = f"test-tidekeep-py/{os.getpid()}/{self._testMethodName}/"
        self.client.delete_range(prefix(self.root))
        self.addCleanup(self.client.delete_range, prefix(self.root))

    def key(self, name):
        return self.root.encode() + name.encode()

    def refused(self, code, call, *arguments, **options):
        with self.assertRaises(TidekeepError) as caught:
            call(*arguments, **options)
        self.assertEqual(caught.exception.code, code, caught.exception)
        return caught.exception

    def test_welcome(self):
        welcome = self.client.welcome
        self.assertEqual(welcome["version"], 1)
        self.assertEqual([len(welcome["server_id"]), len(welcome["store_id"])], [16, 16])
        self.assertGreater(welcome["limits"]["key_bytes"], 0)
        self.assertGreater(welcome["heartbeat_ms"], 0)
        self.assertGreater(welcome["now_ms"], 1_600_000_000_000)

    def test_put_and_get(self):
        client, key = self.client, self.key("name")
        self.assertIsNone(client.get(key))
        first, _ = client.put(key, "Jane Doe")
        second, before = client.put(key, b"\x00\xff", previous=True)
        self.assertGreater(second, first)
        self.assertEqual(before.value, b"Jane Doe")
        entry = client.get(key)
        self.assertEqual(entry.value, b"\x00\xff")
        self.assertEqual((entry.created, entry.modified, entry.version), (first, second, 2))
        self.assertIsNone(entry.expires_at)
        client.put(key, "")
        self.assertEqual(client.get(key).value, b"")

    def test_conditions(self):
        client, key = self.client, self.key("name")
        for condition in ("present", {"revision": 1}, {"value": b"x"}):
            self.assertIsNone(self.refused("conflict", client.put, key, "v", condition).entry)
            self.assertIsNone(self.refused("conflict", client.delete, key, condition).entry)
        revision, _ = client.put(key, "one", condition="absent")
        conflict = self.refused("conflict", client.put, key, "two", condition="absent")
        self.assertEqual(conflict.entry.value, b"one")
        client.put(key, "two", condition={"revision": revision})
        self.refused("conflict", client.put, key, "three", condition={"revision": revision})
        client.put(key, "three", condition={"value": b"two"})
        self.refused("conflict", client.delete, key, condition={"value": b"two"})
        self.assertEqual(client.get(key).value, b"three")
        client.delete(key, condition="present")

    def test_delete(self):
        client, key = self.client, self.key("name")
        self.assertIsNone(client.delete(key))
        self.assertIsNone(client.delete(key, condition="absent"))
        put, _ = client.put(key, "John Doe")
        revision, before = client.delete(key, previous=True)
        self.assertGreater(revision, put)
        self.assertEqual((before.value, before.modified), (b"John Doe", put))
        self.assertIsNone(client.get(key))

    def test_expiry(self):
        client, key, start = self.client, self.key("session"), self.client.welcome["now_ms"]
        client.put(key, "open", expiry=HOUR)
        self.assertGreaterEqual(client.get(key).expires_at, start + HOUR["after"])
        client.put(key, "still open", expiry="keep")
        end = client.get(key).expires_at
        self.assertIsNotNone(end)
        client.put(key, "closed")
        self.assertIsNone(client.get(key).expires_at)
        client.put(key, "open", expiry={"at": end})
        self.assertEqual(client.get(key).expires_at, end)
        client.put(key, "over", expiry={"after": 0})
        self.assertIsNone(client.get(key))
        client.put(key, "new", condition="absent")
        self.assertEqual(client.get(key).version, 1)

    def test_leases(self):
        client, key = self.client, self.key("node")
        lease, other = client.lease_grant(60_000), client.lease_grant(60_000)
        self.assertGreater(other, lease)
        client.put(key, "up", expiry={"lease": lease})
        self.assertEqual((client.get(key).lease, client.get(key).expires_at), (lease, None))
        end = client.lease_keep_alive(lease)
        listed = {each["lease"]: each for each in client.leases(page=1)}
        self.assertEqual((listed[lease]["expires_at"], listed[lease]["keys"]), (end, 1))
        self.assertEqual(listed[other]["keys"], 0)
        self.assertEqual((client.lease_revoke(lease), client.lease_revoke(other)), (1, 0))
        self.assertIsNone(client.get(key))
        self.refused("not-found", client.lease_keep_alive, lease)
        self.refused("not-found", client.put, key, "up", expiry={"lease": lease})

    def test_touch(self):
        client, key = self.client, self.key("session")
        self.assertIsNone(client.touch(key, HOUR))
        conflict = self.refused("conflict", client.touch, key, HOUR, condition="present")
        self.assertIsNone(conflict.entry)
        client.put(key, "open")
        meta = client.touch(key, HOUR)
        self.assertEqual(meta["version"], 2)
        self.assertIsNotNone(meta["expires_at"])
        self.assertEqual(client.touch(key, "keep")["expires_at"], meta["expires_at"])
        conflict = self.refused("conflict", client.touch, key, HOUR, {"value": b"closed"})
        self.assertEqual(conflict.entry.version, 3)
        self.assertIsNone(client.touch(key, "never")["expires_at"])
        self.assertEqual(client.get(key).value, b"open")

    def test_increment(self):
        client, key = self.client, self.key("visits")
        self.assertEqual(client.increment(key), 1)
        self.assertEqual(client.increment(key, 300), 301)
        self.assertEqual(client.increment(key, -1000), -699)
        self.assertEqual(client.get(key).value, b"-699")
        client.put(key, str(2**63 - 1))
        self.refused("invalid-input", client.increment, key)
        self.assertEqual(client.get(key).value, str(2**63 - 1).encode())
        client.put(key, "many")
        self.refused("invalid-input", client.increment, key)

    def fill(self, *names):
        for name in names:
            self.client.put(self.key(name), f"value of {name}")

    def test_scan(self):
        self.fill("a", "a/b", "b", "c", "d")
        keys = [self.key(name) for name in ("a", "a/b", "b", "c", "d")]
        scan, range = self.client.scan, prefix(self.root)
        for page in (0, 1, 2, 5):
            self.assertEqual([entry.key for entry in scan(range, page=page)], keys)
            backward = scan(range, order="descending", page=page)
            self.assertEqual([entry.key for entry in backward], keys[::-1])
        self.assertEqual(next(scan(range)).value, b"value of a")
        self.assertEqual({entry.value for entry in scan(range, projection="keys")}, {b""})
        part = {"start": self.key("a/"), "end": self.key("c")}
        self.assertEqual([entry.key for entry in scan(part)], keys[1:3])
        self.assertEqual(list(scan({"start": self.key("c"), "end": self.key("a")})), [])
        self.assertEqual(self.client.count(range), 5)

    def test_a_reply_in_chunks(self):
        value = os.urandom(3 * self.client.limits["chunk_bytes"] + 17)
        self.client.put(self.key("large"), value)
        self.assertEqual(self.client.get(self.key("large")).value, value)

    def test_children(self):
        self.fill("ada", "ada/mail", "ada/phone", "grace", "zoe/mail")
        names = [(b"ada", False), (b"ada/", True), (b"grace", False), (b"zoe/", True)]
        for page in (0, 1, 3):
            self.assertEqual(list(self.client.children(self.root, page=page)), names)
        below = [(b"mail", False), (b"phone", False)]
        self.assertEqual(list(self.client.children(self.key("ada/"))), below)

    def test_txn(self):
        client, lock, number = self.client, self.key("lock"), self.key("number")
        put, count = op_put(lock, "mine", condition="absent"), op_increment(number, 5)
        done, results = client.txn([(lock, "absent")], [put, count, op_get(lock)], [op_get(lock)])
        self.assertTrue(done)
        self.assertEqual([next(iter(result)) for result in results], ["put", "increment", "get"])
        self.assertEqual(results[2]["get"]["entry"]["value"], b"mine")
        revisions = {client.get(key).modified for key in (lock, number)}
        self.assertEqual(len(revisions), 1)

        done, results = client.txn([(lock, "absent")], [count], [op_get(lock)])
        self.assertFalse(done)
        self.assertEqual(results[0]["get"]["entry"]["value"], b"mine")
        self.refused("conflict", client.txn, then=[count, put])
        self.refused("invalid-input", client.txn, then=[count, op_increment(lock)])
        self.assertEqual(client.get(number).value, b"5")

        ops = [op_touch(lock, HOUR), op_delete(number), op_delete_range(prefix(self.root))]
        _, results = client.txn(then=ops)
        self.assertEqual(results[0]["touch"]["status"], "applied")
        self.assertEqual(results[1]["delete"]["status"], "applied")
        self.assertEqual(results[2]["delete_range"]["deleted"], 1)

    def test_delete_range(self):
        self.fill("a", "b", "c")
        reply = self.client.request(0x18, range=prefix(self.root), limit=2)
        self.assertEqual((reply["deleted"], reply["more"]), (2, True))
        self.assertEqual(self.client.delete_range(prefix(self.root)), 1)
        self.assertEqual(self.client.delete_range(prefix(self.root)), 0)

    def content(self, watch):
        """What a new watch's range holds, up to its caught up message."""
        entries = {}
        while "content" in (message := watch.next(10)):
            entries |= {each["key"]: each["stored"]["value"] for each in message["content"]}
        self.assertIn("caught_up", message)
        return entries

    def changes(self, watch, count):
        """The next changes, each as its name, key, and value if it has one."""
        changes = []
        while len(changes) < count:
            message = watch.next(10)
            self.assertTrue({"events", "bookmark", "caught_up"} >= message.keys(), message)
            for event in message.get("events", {"events": []})["events"]:
                ((name, change),) = event.items()
                entry = change.get("entry")
                key = change["key"] if entry is None else entry["key"]
                changes.append((name, key, entry and entry["stored"]["value"]))
        return changes

    def test_watch(self):
        client, a, b = self.client, self.key("a"), self.key("b")
        client.put(a, "1")
        watch = client.watch(prefix(self.root))
        self.assertEqual(self.content(watch), {a: b"1"})
        client.put(a, "2")
        client.txn(then=[op_put(b, "3"), op_delete(a)])
        client.put(b, "4", expiry={"after": 1})
        expected = [("put", a, b"2"), ("put", b, b"3"), ("delete", a, None), ("put", b, b"4")]
        self.assertEqual(self.changes(watch, 5), expected + [("expire", b, None)])
        watch.close()
        client.put(a, "after it")
        self.assertEqual(client.get(a).value, b"after it")

    def test_watch_with_previous_entries(self):
        self.client.put(self.key("a"), "old")
        watch = self.client.watch(prefix(self.root), since="now", previous=True)
        self.client.put(self.key("a"), "new")
        self.client.delete(self.key("a"))
        before = []
        while len(before) < 2:
            for event in watch.next(10).get("events", {"events": []})["events"]:
                before += [change["previous"]["value"] for change in event.values()]
        self.assertEqual(before, [b"old", b"new"])

    def test_watch_resumes_on_another_connection(self):
        client, key = self.client, self.key("a")
        with Client(ADDRESS) as other:
            watch = other.watch(prefix(self.root))
            self.assertEqual(self.content(watch), {})
            client.put(key, "1")
            self.assertEqual(self.changes(watch, 1), [("put", key, b"1")])
            cursor = watch.cursor
        client.put(key, "2")
        client.put(key, "3")
        resumed = client.watch(prefix(self.root), since={"cursor": cursor})
        expected = [("put", key, b"2"), ("put", key, b"3")]
        self.assertEqual(self.changes(resumed, 2), expected)
        client.put(key, "4")
        self.assertEqual(self.changes(resumed, 1), [("put", key, b"4")])

    def test_who_is_behind_can_have_the_latest_only(self):
        client, key = self.client, self.key("a")
        watch = client.watch(prefix(self.root))
        self.assertEqual(self.content(watch), {})
        cursor = watch.cursor
        watch.close()
        for value in ["1", "2", "3"]:
            client.put(key, value)
        resumed = client.watch(prefix(self.root), since={"cursor": cursor}, delivery="latest")
        self.assertEqual(self.changes(resumed, 1), [("put", key, b"3")])

    def test_a_cursor_of_another_history_is_too_old(self):
        position = bytearray()
        wire.write_varint(position, self.client.welcome["incarnation"] ^ 1)
        foreign = self.client.watch(since={"cursor": bytes(position) + b"\x01\x01"})
        self.refused("cursor-too-old", self.content, foreign)
        garbage = self.client.watch(since={"cursor": b"\xff"})
        self.refused("invalid-input", self.content, garbage)

    def test_a_cursor_without_bytes_begins_before_all_that_is_remembered(self):
        key = self.key("old")
        self.client.put(key, "1")
        self.client.put(key, "2")
        old = self.client.watch(prefix(self.root), since={"cursor": b""})
        self.assertEqual(self.changes(old, 2), [("put", key, b"1"), ("put", key, b"2")])

    def test_status_and_ping(self):
        self.fill("a")
        status = self.client.status()
        self.assertIn(status["durability"], ("always", "interval", "none"))
        self.assertGreaterEqual(status["figures"]["keys"], 1)
        self.assertLess(self.client.ping(), 10)

    def test_what_is_over_a_limit(self):
        client, limits = self.client, self.client.limits
        self.refused("invalid-input", client.get, "")
        self.refused("too-large", client.get, b"k" * (limits["key_bytes"] + 1))
        self.refused("too-large", client.put, "k", bytes(limits["value_bytes"] + 1))
        self.refused("too-large", list, client.scan(page=limits["scan_entries"] + 1))
        ops = [op_get("k")] * (limits["txn_operations"] + 1)
        self.refused("too-large", client.txn, then=ops)
        self.refused("invalid-input", list, client.children(delimiter=""))
        self.refused("invalid-input", client.put, "k", "v", expiry={"after": 2**52 + 1})

    def answer(self, kind, body, extensions=()):
        _, answers = self.client.send(kind, body, extensions)
        return self.client.answer(answers, 10)

    def test_what_is_malformed_or_unknown(self):
        for file, lines in read_vectors():
            fields = dict(lines)
            frame = bytes.fromhex(fields["bytes"])
            if fields.get("expect") == "error malformed" and 0x10 <= frame[4] < 0x80:
                with self.subTest(file=file, name=fields["name"]):
                    self.refused("invalid-input", self.answer, frame[4], frame[12:])
        self.refused("unsupported", self.answer, 0x7F, b"")
        self.refused("unsupported", self.answer, 0x10, b"\x01k", [(0xFE, b"")])
        self.assertIsNone(self.client.get(self.key("still here")))

    def end(self, sent):
        """The code with which the server ends a connection on which these bytes were sent."""
        host, _, port = ADDRESS.rpartition(":")
        with socket.create_connection((host.strip("[]"), int(port)), 10) as raw:
            raw.sendall(sent)
            received = b"".join(iter(lambda: raw.recv(65536), b""))
        while received:
            frame, length = Frame.from_bytes(received, LIMIT)
            received = received[length:]
        self.assertEqual((frame.kind, frame.id), (0x07, 0))
        return TidekeepError.from_body(frame.body).code

    def test_what_ends_a_connection(self):
        fields = {"version_min": 1, "version_max": 1, "features": 0, "software": "test"}
        hello = Frame(0x01, 0, encode(wire.HELLO, fields)).to_bytes()
        later = Frame(0x01, 0, encode(wire.HELLO, fields | {"version_min": 9, "version_max": 9}))
        get = Frame(0x10, 1, b"\x01k").to_bytes()
        self.assertEqual(self.end(wire.PREFACE + get), "protocol")
        self.assertEqual(self.end(wire.PREFACE + later.to_bytes()), "version")
        self.assertEqual(self.end(wire.PREFACE + hello + hello), "protocol")
        self.assertEqual(self.end(wire.PREFACE + hello + b"\x07\0\0\0"), "protocol")
        self.assertEqual(self.end(wire.PREFACE + hello + b"\xff\xff\xff\xff"), "too-large")
        self.assertEqual(self.end(wire.PREFACE + b"\xff\xff\0\0"), "too-large")
        fields = {"range": prefix(self.root), "from": "now", "previous": False, "delivery": "every"}
        watch = encode(wire.WATCH, fields)
        watch = Frame(0x19, 1, watch).to_bytes()
        self.assertEqual(self.end(wire.PREFACE + hello + watch + get), "protocol")
        nameless = Frame(0x10, 0, b"\x01k").to_bytes()
        self.assertEqual(self.end(wire.PREFACE + hello + nameless), "protocol")

    def test_program(self):
        def run(*arguments):
            program = pathlib.Path(__file__).with_name("tidekeep.py")
            command = [sys.executable, str(program), ADDRESS, *arguments]
            done = subprocess.run(command, capture_output=True, timeout=60)
            return done.returncode, done.stdout.decode()

        key = self.key("name").decode()
        self.assertEqual(run("get", key), (1, ""))
        self.assertEqual(run("put", key, "John Doe")[0], 0)
        self.assertEqual(run("get", key), (0, "John Doe\n"))
        self.assertEqual(run("list", self.root), (0, f"{key}\tJohn Doe\n"))
        self.assertEqual(run("count", self.root), (0, "1\n"))
        self.assertEqual(run("incr", key)[0], 6)
        self.assertEqual(run("delete", key), (0, ""))
        self.assertEqual(run("no-such-command")[0], 2)


if __name__ == "__main__":
    unittest.main()
