"""Messages: what goes in comes out, and nothing that is not a message gets through."""

from __future__ import annotations

import json
import math
import multiprocessing
import socket
import struct
import threading
from multiprocessing import AuthenticationError

import numpy as np
import pytest

from backend import protocol
from backend.mesh import Mesh
from backend.protocol import Channel, Listener, Message, ProtocolError, connect
from backend.recipe import Recipe, Result, Viewpoint

RECIPE = Recipe.create(prompt="ein Stühlchen", seed=7)
HEALTH = {"python": "3.11.7", "devices": ["cpu"], "missing": [], "reason": "", "ok": True}


def full_mesh(side=64):
    generator = np.random.default_rng(0)
    faces = generator.integers(0, 100, (50, 3))
    return Mesh(
        generator.normal(size=(100, 3)),
        faces,
        colors=generator.random((100, 3)),
        normals=generator.normal(size=(100, 3)),
        uvs=generator.random((50, 3, 2)),
        texture=generator.integers(0, 256, (side, 32, 3)).astype(np.uint8),
    )


def assert_same_mesh(one, other):
    for name in ("vertices", "faces", "colors", "normals", "uvs", "texture"):
        left, right = getattr(one, name), getattr(other, name)
        assert (left is None) == (right is None)
        if left is not None:
            assert left.dtype == right.dtype
            np.testing.assert_array_equal(left, right)


@pytest.fixture
def pipe():
    """A raw connection and the channel that reads what is put into it."""
    raw, other = multiprocessing.Pipe()
    yield raw, Channel(other)
    raw.close()
    other.close()


def passed(message):
    """The message after a way through a channel, sent from another thread because pipes hold little."""
    left, right = (Channel(connection) for connection in multiprocessing.Pipe())
    sender = threading.Thread(target=left.send, args=(message,))
    sender.start()
    received = right.receive()
    sender.join()
    left.close()
    right.close()
    return received


@pytest.mark.parametrize(
    "message",
    [
        protocol.hello(HEALTH),
        protocol.generate("1", RECIPE),
        protocol.cancel("1"),
        protocol.keep("1"),
        protocol.progress("1", "Sampling", 0.25),
        protocol.error("1", "Näher geht’s nicht.", 2),
        protocol.cancelled("1"),
        protocol.shutdown(),
    ],
    ids=lambda message: message.kind,
)
def test_messages_without_arrays_come_out_as_they_went_in(message):
    assert passed(message) == message


def test_a_result_comes_out_bit_for_bit():
    result = Result(full_mesh(), np.diag([2.0, 2, 2, 1]), RECIPE, {"Sampling": 1.5}, ["Ein Hinweis."])
    received = protocol.read_result(passed(protocol.result("job", result)))
    assert_same_mesh(received.mesh, result.mesh)
    np.testing.assert_array_equal(received.transform, result.transform)
    assert (received.recipe, received.timings, received.notes) == (RECIPE, {"Sampling": 1.5}, ["Ein Hinweis."])


def test_a_viewpoint_and_views_come_out_as_they_went_in():
    views = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 4), dtype=np.uint8)
    viewpoint = Viewpoint(np.diag([1.0, 1, 1, 1]) + 0.1, 0.75, (0.1, -0.2))
    result = Result(full_mesh(), np.eye(4), RECIPE, {}, [], viewpoint=viewpoint, views=views)
    received = protocol.read_result(passed(protocol.result("job", result)))
    assert received.viewpoint is not None and received.views is not None
    np.testing.assert_array_equal(received.viewpoint.matrix, viewpoint.matrix)
    assert (received.viewpoint.field_of_view, received.viewpoint.shift) == (0.75, (0.1, -0.2))
    np.testing.assert_array_equal(received.views, views)


def test_a_glimpse_is_a_picture():
    picture = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    message = passed(protocol.glimpse("1", picture, "a render", math.nan))
    np.testing.assert_array_equal(protocol.read_glimpse(message), picture)
    assert math.isnan(message.fields["loss"])
    for wrong in (picture[..., :2], picture.astype(np.float32), picture[:0]):
        with pytest.raises(ProtocolError, match="picture"):
            protocol.read_glimpse(protocol.glimpse("1", wrong, "", 0.0))


def test_a_viewpoint_without_its_lens_is_no_result():
    result = Result(full_mesh(), np.eye(4), RECIPE, {}, [], viewpoint=Viewpoint(np.eye(4), 0.75))
    message = protocol.result("job", result)
    del message.arrays["lens"]
    with pytest.raises(ProtocolError, match="lens"):
        protocol.read_result(message)


@pytest.mark.parametrize(
    "faces", [np.zeros((0, 3), dtype=np.int32), np.array([[0, 1, 2]])], ids=["no faces", "one face"]
)
def test_a_preview_may_lack_what_is_optional(faces):
    mesh = Mesh(np.eye(3), faces)
    assert_same_mesh(protocol.read_mesh(passed(protocol.preview("job", mesh))), mesh)


def test_a_large_mesh_passes():
    mesh = Mesh(np.random.default_rng(0).normal(size=(1_000_000, 3)), np.zeros((0, 3), dtype=np.int32))
    assert_same_mesh(protocol.read_mesh(passed(protocol.preview("job", mesh))), mesh)


def test_many_threads_may_send_at_once(pipe):
    raw, channel = pipe
    sender = Channel(raw)
    mesh = full_mesh(8)
    threads = [
        threading.Thread(target=lambda: [sender.send(protocol.preview("job", mesh)) for _ in range(20)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for _ in range(80):
        assert_same_mesh(protocol.read_mesh(channel.receive()), mesh)
    for thread in threads:
        thread.join()


def header(kind="cancel", fields=None, arrays=()):
    return json.dumps({"kind": kind, "fields": {"job": "1"} if fields is None else fields, "arrays": arrays}).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x04\x95pickle",
        b"{",
        b"[" * 100_000,
        b"[]",
        b'"cancel"',
        b"{}",
        header(kind="format"),
        header(kind=["cancel"]),
        header(fields=[]),
        header(fields={}),
        header(fields={"job": 1}),
        header(fields={"job": "1", "more": 1}),
        header(kind="progress", fields={"job": "1", "stage": "Sampling", "fraction": True}),
        header(kind="hello", fields={**protocol.hello(HEALTH).fields, "devices": [1]}),
        header(arrays={"vertices": 1}),
        header(arrays=[["a", "<f4"]]),
        header(arrays=[["a", "|O", [1]]]),
        header(arrays=[["a", "<f4", [-1]]]),
        header(arrays=[["a", "<f4", [True]]]),
        header(arrays=[["a", "<f4", [1.5]]]),
        header(arrays=[["a", "<f4", [2**40, 2**40]]]),
        header(arrays=[["a", "|u1", [protocol.MAX_ARRAY_BYTES + 1]]]),
        header(arrays=[["a", "|u1", [0]]] * (protocol.MAX_ARRAYS + 1)),
    ],
)
def test_malformed_headers_are_refused(pipe, data):
    raw, channel = pipe
    raw.send_bytes(data)
    with pytest.raises(ProtocolError):
        channel.receive()


def test_an_oversized_header_is_refused_before_it_is_read(pipe):
    raw, channel = pipe
    # The length that a connection puts before its bytes, with nothing after it: who waited for the bytes would hang.
    raw_socket = socket.socket(fileno=raw.fileno())
    raw_socket.sendall(struct.pack("!i", protocol.MAX_HEADER_BYTES + 1))
    with pytest.raises(ProtocolError, match="oversized"):
        channel.receive()
    raw_socket.detach()


@pytest.mark.parametrize("data", [b"x" * 11, b"x" * 13])
def test_an_array_of_another_length_than_announced_is_refused(pipe, data):
    raw, channel = pipe
    raw.send_bytes(header(arrays=[["a", "<f4", [3]]]))
    raw.send_bytes(data)
    with pytest.raises(ProtocolError, match="truncated or oversized"):
        channel.receive()


@pytest.mark.parametrize("sent", [b"", struct.pack("!i", 12), struct.pack("!i", 12) + b"half"])
def test_an_end_within_an_array_is_a_truncated_message(pipe, sent):
    raw, channel = pipe
    raw.send_bytes(header(arrays=[["a", "<f4", [3]]]))
    raw_socket = socket.socket(fileno=raw.fileno())
    raw_socket.sendall(sent)
    raw_socket.shutdown(socket.SHUT_WR)
    with pytest.raises(ProtocolError, match="truncated"):
        channel.receive()
    raw_socket.detach()


def test_an_end_within_a_header_is_a_truncated_message(pipe):
    raw, channel = pipe
    raw_socket = socket.socket(fileno=raw.fileno())
    raw_socket.sendall(struct.pack("!i", 100) + b"half")
    raw_socket.shutdown(socket.SHUT_WR)
    with pytest.raises(ProtocolError, match="truncated"):
        channel.receive()
    raw_socket.detach()


def test_an_end_between_messages_is_the_end(pipe):
    raw, channel = pipe
    raw.send_bytes(header())
    raw.close()
    assert channel.receive() == protocol.cancel("1")
    with pytest.raises(EOFError):
        channel.receive()


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"vertices": np.eye(3, dtype=np.float32)},
        {"vertices": np.eye(3), "faces": np.array([[0, 1, 9]], dtype=np.int32)},
    ],
)
def test_arrays_that_make_no_mesh_are_refused(arrays):
    with pytest.raises(ProtocolError):
        protocol.read_mesh(Message("preview", {"job": "1"}, arrays))


def test_a_result_that_is_none_is_refused():
    good = protocol.result("1", Result(full_mesh(), np.eye(4), RECIPE, {"Sampling": 1.0}, []))
    for fields, arrays in (
        ({}, {"transform": np.eye(3)}),
        ({"recipe": {}}, {}),
        ({"timings": {"Sampling": "long"}}, {}),
    ):
        with pytest.raises(ProtocolError):
            protocol.read_result(Message("result", {**good.fields, **fields}, {**good.arrays, **arrays}))
    without = {name: array for name, array in good.arrays.items() if name != "transform"}
    with pytest.raises(ProtocolError, match="transform"):
        protocol.read_result(Message("result", good.fields, without))


def test_what_is_too_large_or_of_a_strange_type_is_not_sent(pipe):
    raw, _ = pipe
    channel = Channel(raw)
    with pytest.raises(ProtocolError, match="too large"):
        channel.send(protocol.error("1", "x" * protocol.MAX_HEADER_BYTES, 2))
    with pytest.raises(ProtocolError, match="cannot be sent"):
        channel.send(Message("cancelled", {"job": "1"}, {"a": np.zeros(1, dtype=complex)}))
    # A view of one byte, repeated: as large as is forbidden without the memory for it.
    with pytest.raises(ProtocolError, match="cannot be sent"):
        channel.send(Message("cancelled", {"job": "1"}, {"a": np.zeros(protocol.MAX_ARRAY_BYTES + 1, dtype=np.uint8)}))


def accepted(listener, is_alive=lambda: True, timeout=120.0):
    """Accept in a thread: (thread, list that the channel lands in)."""
    channels = []
    thread = threading.Thread(target=lambda: channels.append(listener.accept(timeout, is_alive)))
    thread.start()
    return thread, channels


def test_a_listener_lets_the_right_key_in():
    with Listener() as listener:
        thread, channels = accepted(listener)
        channel = connect(listener.address, listener.key)
        thread.join()
        channel.send(protocol.hello(HEALTH))
        assert channels[0].poll(120)
        assert channels[0].receive() == protocol.hello(HEALTH)
        channel.close()
        channels[0].close()


def test_strangers_are_turned_away_and_hold_nobody_up():
    with Listener() as listener:
        thread, channels = accepted(listener)
        host, port = listener.address.split(":")
        silent = socket.create_connection((host, int(port)))
        with pytest.raises(AuthenticationError):
            connect(listener.address, "00" * 32)
        channel = connect(listener.address, listener.key)
        thread.join()
        channel.send(protocol.shutdown())
        assert channels[0].receive() == protocol.shutdown()
        silent.close()
        channel.close()
        channels[0].close()


def test_waiting_for_a_worker_ends():
    with Listener() as listener:
        assert listener.accept(0.1, lambda: True) is None
        assert listener.accept(60.0, lambda: False) is None


def test_keys_and_ports_are_fresh_each_time():
    with Listener() as one, Listener() as other:
        assert one.key != other.key
        assert one.address != other.address
        assert len(bytes.fromhex(one.key)) == 32


def test_connecting_to_nobody_says_so():
    with Listener() as listener:
        address, key = listener.address, listener.key
    with pytest.raises(OSError, match="refused"):
        connect(address, key)


def series_result():
    """Three meshes, the last without what is optional, and shape keys."""
    first = full_mesh()
    bare = Mesh(first.vertices, first.faces)
    keys = np.stack([first.vertices, first.vertices * 2])
    return Result(first, np.eye(4), RECIPE, {"Extracting": 1.0}, [], (full_mesh(32), bare), keys)


def test_a_series_with_shape_keys_comes_out_bit_for_bit():
    sent = series_result()
    received = protocol.read_result(passed(protocol.result("1", sent)))
    assert len(received.following) == 2
    for one, other in zip(sent.meshes, received.meshes, strict=True):
        assert_same_mesh(one, other)
    np.testing.assert_array_equal(received.shape_keys, sent.shape_keys)


def test_a_series_with_a_gap_is_refused():
    message = protocol.result("1", series_result())
    arrays = {name.replace("2.", "5."): array for name, array in message.arrays.items()}
    with pytest.raises(ProtocolError, match="numbered from 1"):
        protocol.read_result(Message("result", message.fields, arrays))
