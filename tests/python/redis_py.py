"""A redis-py session with the node at the given host and port, one of the given number of nodes."""

import sys
import time

import redis

HOST, PORT, NODES = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def session(**protocol):
    client = redis.Redis(HOST, PORT, decode_responses=True, socket_timeout=20, **protocol)
    client.flushall()
    assert client.ping()

    assert client.set("apples", "red")
    assert client.get("apples") == "red"
    assert client.get("missing") is None
    assert client.set("apples", "green", nx=True) is None
    assert client.incr("stock", 5) == 5
    assert client.mset({"bananas": "1", "tea": "2"})
    assert client.mget("bananas", "tea", "missing") == ["1", "2", None]

    assert client.hset("shopping", mapping={"milk": "1", "eggs": "3"}) == 2
    assert client.hgetall("shopping") == {"milk": "1", "eggs": "3"}
    assert client.hincrby("shopping", "milk", 2) == 3
    assert dict(client.hscan_iter("shopping")) == {"milk": "3", "eggs": "3"}

    assert client.expire("shopping", 100)
    assert client.ttl("shopping") == 100
    assert client.set("soon", "gone", px=1)
    while client.exists("soon"):
        time.sleep(0.001)
    assert client.get("soon") is None

    assert sorted(client.scan_iter()) == ["apples", "bananas", "shopping", "stock", "tea"]
    assert sorted(client.keys("*s")) == ["apples", "bananas"]
    assert client.dbsize() == 5

    pipeline = client.pipeline(transaction=False)
    for number in range(1_000):
        pipeline.set(f"{'az'[number % 2]}{number}", number)
    for number in range(1_000):
        pipeline.get(f"{'az'[number % 2]}{number}")
    assert pipeline.execute()[1_000:] == [str(number) for number in range(1_000)]

    transaction = client.pipeline()
    transaction.set("apples", "red")
    transaction.set("zebra", "striped")
    if NODES == 1:
        assert transaction.execute() == [True, True]
        assert client.delete("zebra") == 1
    else:
        # A pipeline of redis-py is a transaction by default, and a transaction runs on one node.
        try:
            transaction.execute()
            raise AssertionError("the keys live on two nodes")
        except redis.ResponseError as error:
            assert "different nodes" in str(error), error
        assert client.exists("zebra") == 0

    with client.pipeline() as transaction:
        transaction.watch("stock")
        transaction.multi()
        transaction.incr("stock")
        transaction.get("stock")
        assert transaction.execute() == [6, "6"]
    with client.pipeline() as transaction:
        transaction.watch("stock")
        client.incr("stock")
        transaction.multi()
        transaction.incr("stock")
        try:
            transaction.execute()
            raise AssertionError("the watched key has changed")
        except redis.WatchError:
            pass

    try:
        client.get("shopping")
        raise AssertionError("a hash is not a string")
    except redis.ResponseError as error:
        assert str(error) == "WRONGTYPE Operation against a key holding the wrong kind of value"

    subscriber = client.pubsub()
    subscriber.subscribe("news")
    assert subscriber.get_message(timeout=20)["type"] == "subscribe"
    assert client.publish("news", "hello") == 1
    message = subscriber.get_message(timeout=20)
    assert (message["type"], message["data"]) == ("message", "hello")
    subscriber.close()


session()
# redis-py has RESP3 since version 5.
if int(redis.__version__.split(".")[0]) >= 5:
    session(protocol=3)
