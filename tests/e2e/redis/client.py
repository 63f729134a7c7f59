"""What redis-py sees of a live server: the address is the first argument."""

import sys
import threading

import redis

host, port = sys.argv[1].rsplit(":", 1)
for protocol in (2, 3):
    store = redis.Redis(host=host, port=int(port), protocol=protocol, decode_responses=True)
    store.flushall()
    assert store.set("name", "John Doe", ex=60) is True
    assert store.get("name") == "John Doe" and 0 < store.ttl("name") <= 60
    assert store.set("name", "x", nx=True) is None
    assert store.set("name", "Jane", get=True) == "John Doe"
    assert store.mset({"a": 1, "b": 2}) and store.mget("a", "none", "b") == ["1", None, "2"]
    assert [store.incr("n"), store.incrby("n", 5), store.incrbyfloat("f", 0.1)] == [1, 6, 0.1]
    assert store.append("log", "ab") == 2 and store.getrange("log", 0, 0) == "a"
    assert sorted(store.scan_iter(match="*", count=2)) == sorted(store.keys())
    assert store.rename("a", "c") and not store.exists("a") and store.type("c") == "string"
    assert store.client_setname("tests") and store.client_getname() == "tests"
    assert store.info()["tidekeep_version"] and store.config_get("databases") == {"databases": "1"}
    assert store.dbsize() == len(store.keys())

    with store.pipeline(transaction=False) as pipe:
        for number in range(500):
            pipe.set(f"key:{number}", number)
        assert all(pipe.execute())
    with store.pipeline() as pipe:
        pipe.watch("n")
        pipe.multi()
        pipe.incr("n")
        pipe.get("n")
        assert pipe.execute() == [7, "7"]
    with store.pipeline() as pipe:
        pipe.watch("n")
        store.incr("n")
        pipe.multi()
        pipe.set("n", 0)
        try:
            pipe.execute()
            raise AssertionError("a watched key had changed")
        except redis.WatchError:
            pass
    try:
        store.lpush("list", "1")
        raise AssertionError("there are no lists")
    except redis.ResponseError as error:
        assert "unknown command" in str(error)

    listener = store.pubsub(ignore_subscribe_messages=False)
    listener.subscribe("news")
    assert listener.get_message(timeout=10)["type"] == "subscribe"
    threading.Thread(target=lambda: store.publish("news", "hi")).start()
    message = listener.get_message(timeout=10)
    assert (message["type"], message["data"]) == ("message", "hi"), message
    listener.close()
    # A lock without a script: set if absent, removed if it is still ours.
    assert store.set("lock", "me", nx=True, px=5000) is True
    assert store.execute_command("DELIFEQ", "lock", "you") == 0
    assert store.execute_command("DELIFEQ", "lock", "me") == 1
    assert store.flushall() and store.dbsize() == 0
print("redis-py", redis.__version__, "is served")
