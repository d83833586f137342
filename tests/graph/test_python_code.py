import base64
import hashlib
import marshal
import types

import pytest

from graphprune.graph.classes.completion import complete_config
from graphprune.graph.classes.python_code import CODE, comparable_function, hash_code


def make(scale):
    def function(x):
        return [y * scale for y in x if y not in {1, 2, "aé", b"c", 1j, 10**30, None, ...}], "x"

    return function


FUNCTION = make(2.0).__code__


def store(code):
    return base64.encodebytes(marshal.dumps(code)).decode()


WRITTEN_AGAIN = store(marshal.loads(marshal.dumps(FUNCTION)))
ELSEWHERE = FUNCTION.replace(
    co_filename="other.py",
    co_firstlineno=99,
    co_consts=tuple(
        part.replace(co_filename="other.py", co_firstlineno=98)
        if isinstance(part, types.CodeType)
        else part
        for part in FUNCTION.co_consts
    ),
)


def test_one_function_written_twice_has_one_hash_and_not_the_same_bytes():
    assert store(FUNCTION) != WRITTEN_AGAIN
    assert hash_code(store(FUNCTION)) == hash_code(WRITTEN_AGAIN)


def test_where_the_source_was_does_not_count():
    assert hash_code(store(ELSEWHERE)) == hash_code(store(FUNCTION))


@pytest.mark.parametrize(
    "changes",
    [
        {"co_consts": (*FUNCTION.co_consts[:-1], "y")},
        {"co_code": FUNCTION.co_code[:-2] + b"\x09\x00"},
        {"co_argcount": 0, "co_posonlyargcount": 0, "co_varnames": ("x",), "co_flags": 0},
        {"co_name": "other"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_another_function_has_another_hash(changes):
    assert hash_code(store(FUNCTION.replace(**changes))) != hash_code(store(FUNCTION))


def cut(stored, size):
    return base64.b64encode(base64.b64decode(stored)[:size]).decode()


def test_code_that_cannot_be_read_has_the_hash_of_its_bytes():
    size = len(base64.b64decode(WRITTEN_AGAIN))
    hashes = [hash_code(cut(WRITTEN_AGAIN, length)) for length in range(size + 1)]
    assert len(set(hashes)) == size + 1
    assert hash_code("not base64: é") != hash_code("not base64: è")


def test_objects_that_hold_each_other_many_times_are_read_once():
    """Each tuple holds the one before twice: 2^200 objects when written out."""
    tuples = b"\xa9\x00" + b"".join(
        b"\xa9\x02" + 2 * (b"r" + (index + 1).to_bytes(4, "little")) for index in range(1, 200)
    )
    for objects in (b"\xa9\xc8" + tuples, b"\xa9\x01" * 100_000, b"[\xff\xff\xff\xff"):
        stored = b"\xe3" + bytes(20) + objects
        assert hash_code(base64.b64encode(stored).decode()) == hashlib.sha256(stored).hexdigest()


LAMBDA = {
    "function_type": "lambda",
    "module": "a",
    "output_shape": None,
    "output_shape_type": "raw",
}


def test_all_ways_to_store_a_lambda_are_one():
    code = store(FUNCTION)
    ways = [
        LAMBDA | {"function": [code, None, [2.0]]},
        LAMBDA | {"function": {"class_name": "__tuple__", "items": [WRITTEN_AGAIN, None, [2.0]]}},
        {"function": {"class_name": "__lambda__", "config": {"value": [code, None, [2.0]]}}},
        {
            "function": {
                "class_name": "__lambda__",
                "config": {"code": code, "defaults": None, "closure": [2.0]},
            }
        },
    ]
    read = [
        complete_config({"class_name": "Lambda", "config": {"name": "l", **way}})["function"]
        for way in ways
    ]
    assert read == [{CODE: hash_code(code), "defaults": None, "closure": [2.0]}] * 4


def test_a_function_by_name_stays_a_name():
    config = LAMBDA | {"function": "double", "function_type": "function"}
    assert complete_config({"class_name": "Lambda", "config": config})["function"] == "double"
    assert comparable_function(None) is None
