import io
import os
import struct
import subprocess
import sys
import textwrap
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphprune.errors import DataError
from graphprune.runs import npz
from graphprune.runs.npz import read_npz

WANTED = ("x_train", "y_train")
X = np.arange(12, dtype="float32").reshape(4, 3)


def header(text: str, version: bytes = b"\x01\x00") -> bytes:
    """Return the beginning of an .npy file with this literal as its header."""
    length = struct.pack("<H" if version == b"\x01\x00" else "<I", len(text) + 1)
    return b"\x93NUMPY" + version + length + text.encode() + b"\n"


def declare(shape: str, dtype: str = "<f4") -> bytes:
    return header(f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}")


def write_zip(path, compression=zipfile.ZIP_STORED, **members: bytes) -> str:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return str(path)


def refusal(path) -> str:
    with pytest.raises(DataError) as caught:
        read_npz(str(path), WANTED.__contains__)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value).removeprefix(f"{path}: ")


def run_child(program: str, *arguments) -> str:
    """Run a program in a process of its own, and return what it prints."""
    command = [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("mapped_from", [0, 10**9])
@pytest.mark.parametrize(
    "array",
    [
        X,
        np.asfortranarray(X),
        X.astype(">f4"),
        X > 3,
        X.astype("f2"),
        np.float64(3),
        np.array(["a", "äö"]),
        np.array([b"a"]),
    ],
)
def test_arrays_come_back_as_they_were_written(tmp_path, monkeypatch, save, mapped_from, array):
    monkeypatch.setattr(npz, "MAPPED_FROM", mapped_from)
    save(tmp_path / "a.npz", x_train=array, other=X)
    read = read_npz(str(tmp_path / "a.npz"), WANTED.__contains__)
    assert list(read.arrays) == ["x_train"]
    assert read.names == ("x_train", "other")
    np.testing.assert_array_equal(read.arrays["x_train"], array)
    assert read.arrays["x_train"].dtype == array.dtype
    assert (read.mapped is not None) == (mapped_from == 0 and save is np.savez)


def pack_zeros(path, mebibytes: int) -> str:
    """Write an .npz whose x_train unpacks to so many MiB of zeros: one compressed block, again and
    again.
    """
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    start = declare(f"({mebibytes * 2**18},)")
    begin = squeeze.compress(start) + squeeze.flush(zlib.Z_FULL_FLUSH)
    block = squeeze.compress(bytes(2**20)) + squeeze.flush(zlib.Z_FULL_FLUSH)
    content = begin + block * mebibytes + squeeze.flush()
    size = len(start) + mebibytes * 2**20
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x_train.npy", content)
        info = archive.getinfo("x_train.npy")
        info.compress_type, info.file_size = zipfile.ZIP_DEFLATED, size
    data = bytearray(path.read_bytes())
    # the local header says the same
    data[8:10], data[22:26] = (struct.pack("<H", 8), struct.pack("<I", size))
    path.write_bytes(data)
    return str(path)


def test_a_small_file_that_unpacks_to_3_gib_is_refused_without_unpacking(tmp_path):
    path = pack_zeros(tmp_path / "bomb.npz", 3 * 1024)
    held = os.path.getsize(path)
    assert held < 4 * 2**20
    said = run_child(
        """
        import resource, sys
        from graphprune.errors import DataError
        from graphprune.runs.samples import read_samples
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            read_samples(sys.argv[1])
        except DataError as fault:
            print(fault)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
        """,
        path,
    ).splitlines()
    assert said[0].startswith(f"{path}: x_train would unpack from 3,")
    assert said[0].endswith(
        " to 3,221,225,548 bytes, more than 300 times as many; write it uncompressed, with"
        " numpy.savez"
    )
    assert int(said[1]) < 30_000  # KiB


def test_a_large_uncompressed_file_is_mapped_and_never_in_memory_as_a_whole(tmp_path):
    np.savez(
        tmp_path / "large.npz", x_train=np.ones((100, 2**19), "float32"), y_train=np.arange(100)
    )
    said = run_child(
        """
        import resource, sys
        from graphprune.runs.samples import read_samples
        status = dict(line.split(":", 1) for line in open("/proc/self/status"))
        now = int(status["VmData"].split()[0])
        resource.setrlimit(resource.RLIMIT_DATA, (now * 1024 + 48 * 2**20,) * 2)
        read = read_samples(sys.argv[1])
        print(float(read.train.x[[3, 99]].sum()), read.train.x.nbytes)
        """,
        tmp_path / "large.npz",
    )
    assert said == f"{2**20:.1f} {100 * 2**21}\n"


def test_what_does_not_fit_into_memory_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(npz, "available_memory", lambda: 100)
    monkeypatch.setattr(npz, "_load", lambda *_: pytest.fail("was read"))
    np.savez_compressed(tmp_path / "packed.npz", x_train=X, y_train=np.arange(4))
    np.savez(tmp_path / "plain.npz", x_train=X, y_train=np.arange(4))
    needs = "needs 144 bytes of memory, but only 80 can be used"
    assert (
        refusal(tmp_path / "packed.npz")
        == f"{needs}; write it uncompressed, with numpy.savez, so that it need not be read whole"
    )
    assert refusal(tmp_path / "plain.npz") == f"{needs}; use fewer samples, or a data function"


def test_what_fits_into_memory_is_read(tmp_path, monkeypatch):
    np.savez(tmp_path / "a.npz", x_train=X, y_train=np.arange(4))
    for free in (180, None):
        monkeypatch.setattr(npz, "available_memory", lambda free=free: free)
        np.testing.assert_array_equal(
            read_npz(str(tmp_path / "a.npz"), WANTED.__contains__).arrays["x_train"], X
        )


PLAIN = "store it as integers, floats of at most 64 bits or bool"
KINDS = {
    f"x_train has dtype datetime64[D]; {PLAIN}, for example seconds as float64": np.array(
        ["2020-01-01"], "M8[D]"
    ),
    f"x_train has dtype timedelta64[s]; {PLAIN}, for example seconds as float64": np.array(
        [1], "m8[s]"
    ),
    f"x_train has dtype complex128; {PLAIN}, for example with real and imaginary part on an axis of"
    " length 2": np.array([1j]),
    f"x_train has dtype float128; {PLAIN}": np.array([1], np.longdouble),
    f"x_train is a structured array; {PLAIN}": np.array([(1, 2)], "i4,f4"),
    f"x_train has dtype |V2; {PLAIN}": np.array([b"ab"], "V2"),
    "x_train holds Python objects, which are never unpickled; store it as an array of numbers": (
        np.array([{}])
    ),
}


@pytest.mark.parametrize("message", KINDS)
def test_arrays_of_other_kinds_are_refused_by_name(tmp_path, message):
    np.savez(tmp_path / "a.npz", x_train=KINDS[message], y_train=np.arange(1))
    assert refusal(tmp_path / "a.npz") == message


def test_text_labels_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x_train=X, y_train=np.array(["cat"] * 4))
    assert (
        refusal(tmp_path / "a.npz")
        == f"y_train has dtype <U3; {PLAIN}, with a number for each label"
    )


HEADERS = {
    "damaged, x_train declares 9,007,199,254,740,992 bytes (shape (2251799813685248,), float32) and"
    " holds 8; write the file again": declare(f"({2**51},)"),
    "damaged, x_train declares 0 bytes (shape (0,), float32) and holds 8; write the file again": (
        declare("(0,)")
    ),
    "damaged, x_train declares the shape (-2,); write the file again": declare("(-2,)"),
    "damaged, x_train declares the shape (True, 2); write the file again": declare("(True, 2)"),
    "damaged, x_train declares the shape (1180591620717411303424,); write the file again": declare(
        f"({2**70},)"
    ),
    "x_train has 33 dimensions, more than the limit of 32; reshape it": declare(str((1,) * 33)),
    "x_train has dtype <U0; " + PLAIN: declare(f"({10**15},)", "<U0"),
    "x_train is written in version 3.0 of the .npy format; store it as a plain array of numbers": (
        header("{}", b"\x03\x00")
    ),
    "x_train is written in version 9.9 of the .npy format; store it as a plain array of numbers": (
        header("{}", b"\x09\x09")
    ),
    "x_train is not an array; write the file with numpy.savez": b"ones and zeros",
}


@pytest.mark.parametrize("message", HEADERS)
def test_headers_that_lie_are_refused(tmp_path, message):
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        assert (
            refusal(write_zip(tmp_path / "a.npz", compression, x_train=HEADERS[message] + bytes(8)))
            == message
        )


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "__import__('os')",
        "(" * 3000,
        "{'descr': 'nonsense', 'fortran_order': False, 'shape': (2,)}",
        f"{{'shape': ({'9' * 5000},)}}",
    ],
)
def test_headers_that_are_no_headers_are_refused(tmp_path, text):
    path = write_zip(tmp_path / "a.npz", x_train=header(text) + bytes(8))
    message = refusal(path)
    assert message.startswith("damaged, x_train has a header that cannot be read (")
    assert len(message) < 200


def test_samples_without_values_are_refused(tmp_path):
    path = write_zip(tmp_path / "a.npz", x_train=declare(f"({2**40}, 0)"))
    assert (
        refusal(path)
        == "x_train has shape (1099511627776, 0), so its samples hold no values; write it again"
        " with data"
    )


def test_a_member_that_claims_more_than_deflate_can_hold_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x_train=X)
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<I", 10**9)
    path.write_bytes(data)
    assert (
        refusal(path) == "damaged, x_train claims 1,000,000,000 bytes and holds"
        f" {struct.unpack_from('<I', data, at + 20)[0]}; write the file again"
    )


def test_two_arrays_of_one_name_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x_train=X)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("x_train", archive.read("x_train.npy"))
    assert refusal(path) == "two arrays are named 'x_train'; write the file again with unique names"


def test_an_encrypted_member_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x_train=X)
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    assert refusal(path) == "x_train is encrypted; write the file with numpy.savez"


def test_an_unusual_compression_is_refused(tmp_path):
    path = write_zip(tmp_path / "a.npz", zipfile.ZIP_LZMA, x_train=declare("(2,)") + bytes(8))
    assert (
        refusal(path)
        == "x_train is compressed by a method that NumPy does not use; write the file with"
        " numpy.savez"
    )


@pytest.mark.parametrize("mapped_from", [0, 10**9])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_wrong_checksum_is_refused_however_the_array_is_read(
    tmp_path, monkeypatch, mapped_from, save
):
    monkeypatch.setattr(npz, "MAPPED_FROM", mapped_from)
    path = tmp_path / "a.npz"
    # more than zipfile reads at once
    save(path, x_train=np.random.default_rng(1).normal(size=20_000))
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PK\x01\x02") + 16] ^= 1
    path.write_bytes(data)
    assert refusal(path) == "damaged, Bad CRC-32 for file 'x_train.npy'; write the file again"


def test_a_list_of_members_without_end_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(1200):
            info = zipfile.ZipInfo(f"{number}")
            info.comment = bytes(60_000) if number % 10 == 0 else b""
            archive.writestr(info, b"")
    assert refusal(path).endswith(
        "more than the limit of 4,194,304; write a file with fewer arrays"
    )


def test_a_file_that_was_written_to_after_it_was_mapped_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(npz, "MAPPED_FROM", 0)
    path = tmp_path / "a.npz"
    np.savez(path, x_train=X)
    state = read_npz(str(path), WANTED.__contains__).mapped
    state.check()
    path.rename(tmp_path / "moved.npz")
    state.check()
    np.savez(path, x_train=X + 1)
    state.check()  # another file, and the one that is mapped is as it was
    path.unlink()
    (tmp_path / "moved.npz").rename(path)
    with path.open("ab") as file:
        file.write(b"more")
    with pytest.raises(DataError) as caught:
        state.check()
    assert (
        str(caught.value)
        == f"{path}: was modified while in use; restore the old file and go on with"
        " resume, or start a new run"
    )


def packed(save) -> bytes:
    stream = io.BytesIO()
    save(stream, x_train=X, y_train=np.arange(4))
    return stream.getvalue()


FILES = [packed(np.savez), packed(np.savez_compressed)]


@given(
    st.sampled_from(FILES),
    st.lists(st.tuples(st.integers(0, 700), st.integers(0, 255)), min_size=1, max_size=8),
    st.integers(0, 800),
    st.booleans(),
)
def test_a_damaged_file_is_read_as_it_was_or_refused(
    tmp_path_factory, content, changes, length, is_mapped
):
    data = bytearray(content)
    for place, value in changes:
        data[place % len(data)] = value
    path = tmp_path_factory.getbasetemp() / "mutated.npz"
    path.write_bytes(data[: max(length, 22)] if length % 2 else data)
    said, before, npz.MAPPED_FROM = "", npz.MAPPED_FROM, 0 if is_mapped else 10**9
    try:
        assert set(read_npz(str(path), WANTED.__contains__).arrays) <= set(WANTED)
    except DataError as fault:
        said = str(fault)
    finally:
        npz.MAPPED_FROM = before
    assert len(said) < len(str(path)) + 250
