"""What the folder of blobs promises beyond the contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from streaming.errors import NotFound, TooLarge, Unavailable
from streaming.storage.folder import FolderBlobs
from tests.storage.test_blobs import broken


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_a_blob_is_a_file_and_nothing_else_is_left(tmp_path: Path) -> None:
    FolderBlobs(tmp_path).put("job_a/data", [b"some", b"thing"])

    assert files(tmp_path) == ["job_a/data"]
    assert (tmp_path / "job_a" / "data").read_bytes() == b"something"


@pytest.mark.parametrize("error", [TooLarge(), ValueError(), KeyboardInterrupt()], ids=repr)
def test_a_put_that_breaks_leaves_no_file(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)):
        FolderBlobs(tmp_path).put("job_a/data", broken(error))

    assert files(tmp_path) == []


@pytest.mark.parametrize("key", ["../data", "job_a/../../data", "/etc/x", "job_a/.x", "job_a/", ""])
def test_no_key_leads_out_of_the_folder(tmp_path: Path, key: str) -> None:
    blobs = FolderBlobs(tmp_path / "blobs")

    for use in (blobs.open, blobs.delete, lambda key: blobs.put(key, [b"x"])):
        with pytest.raises(NotFound):
            use(key)

    assert files(tmp_path) == []


def test_a_disk_that_takes_no_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "blobs").write_text("a file, where a folder should be")

    with pytest.raises(Unavailable) as refused:
        FolderBlobs(tmp_path / "blobs").put("job_a/data", [b"x"])

    assert refused.value.code == "storage_away"
