"""What `Blobs` promises, for every storage."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from streaming.errors import NotFound, TooLarge
from streaming.storage.base import Storage
from tests.threads import together


def read(storage: Storage, key: str) -> bytes:
    with storage.blobs.open(key) as file:
        return file.read()


def broken(error: BaseException) -> Iterator[bytes]:
    """Chunks that end in an error."""
    yield b"half of"
    raise error


def test_what_was_put_is_there_to_read(storage: Storage) -> None:
    size = storage.blobs.put("job_a/chart.svg", [b"<svg", b"", b"/>\0\xff"])

    assert size == 8
    assert read(storage, "job_a/chart.svg") == b"<svg/>\0\xff"


def test_an_empty_blob_is_a_blob(storage: Storage) -> None:
    assert storage.blobs.put("job_a/empty", []) == 0
    assert read(storage, "job_a/empty") == b""


def test_a_blob_seeks(storage: Storage) -> None:
    storage.blobs.put("job_a/data", [b"0123456789"])

    with storage.blobs.open("job_a/data") as file:
        file.seek(4)
        assert file.read(3) == b"456"


def test_the_newest_of_a_key_is_the_one_that_is_read(storage: Storage) -> None:
    storage.blobs.put("job_a/data", [b"a longer first one"])
    storage.blobs.put("job_a/data", [b"second"])

    assert read(storage, "job_a/data") == b"second"


def test_who_reads_a_blob_reads_it_whole_though_it_is_replaced(storage: Storage) -> None:
    storage.blobs.put("job_a/data", [b"first"])

    with storage.blobs.open("job_a/data") as file:
        storage.blobs.put("job_a/data", [b"second"])
        assert file.read() == b"first"


def test_of_many_puts_one_is_there_whole(storage: Storage) -> None:
    bodies = [bytes([65 + n]) * 100_000 for n in range(8)]

    together([lambda b=body: storage.blobs.put("job_a/data", [b[:5], b[5:]]) for body in bodies])

    assert read(storage, "job_a/data") in bodies


@pytest.mark.parametrize("error", [TooLarge(), ValueError(), KeyboardInterrupt()], ids=repr)
def test_a_put_that_breaks_leaves_what_was_there(storage: Storage, error: BaseException) -> None:
    storage.blobs.put("job_a/data", [b"first"])

    with pytest.raises(type(error)):
        storage.blobs.put("job_a/data", broken(error))
    with pytest.raises(type(error)):
        storage.blobs.put("job_b/data", broken(error))

    assert read(storage, "job_a/data") == b"first"
    with pytest.raises(NotFound):
        storage.blobs.open("job_b/data")


def test_there_is_no_blob_of_an_unknown_key(storage: Storage) -> None:
    storage.blobs.put("job_a/data", [b"x"])

    for key in ("job_a/other", "job_b/data", "job_a/data/x"):
        with pytest.raises(NotFound):
            storage.blobs.open(key)


def test_a_folder_is_deleted_with_all_its_keys_and_no_other(storage: Storage) -> None:
    for key in ("job_a/one", "job_a/two", "job_ab/one"):
        storage.blobs.put(key, [b"x"])

    storage.blobs.delete("job_a")

    assert read(storage, "job_ab/one") == b"x"
    for key in ("job_a/one", "job_a/two"):
        with pytest.raises(NotFound):
            storage.blobs.open(key)


def test_deleting_a_folder_that_is_not_there_does_nothing(storage: Storage) -> None:
    storage.blobs.delete("job_a")
    storage.blobs.put("job_a/one", [b"x"])
    storage.blobs.delete("job_a")
    storage.blobs.delete("job_a")


def test_folders_are_listed_by_prefix_with_their_size_and_time(storage: Storage) -> None:
    began = time.time()
    for key in ("file_a/meta", "file_a/content", "file_b/meta", "job_a/one"):
        storage.blobs.put(key, [b"1234"])

    found = {folder.name: folder for folder in storage.blobs.folders("file_")}

    assert {name: folder.size for name, folder in found.items()} == {"file_a": 8, "file_b": 4}
    assert all(began - 2 <= folder.made_at <= time.time() + 2 for folder in found.values())


def test_an_empty_storage_has_no_folders(storage: Storage) -> None:
    assert list(storage.blobs.folders("file_")) == []
