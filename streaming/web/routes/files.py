"""Uploads: files that inputs refer to."""

from __future__ import annotations

from collections.abc import Iterator

from flask import Response, request
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import NotImplemented as NotOffered

from streaming.errors import BadRequest, TooLarge, UnsupportedMedia
from streaming.events.event import dumps, now_rfc3339
from streaming.events.vocabulary import Json
from streaming.storage.ids import new_id
from streaming.web.auth import owner
from streaming.web.blueprints import owned_blueprint
from streaming.web.bodies import in_time
from streaming.web.json_response import as_json
from streaming.web.operations import operation
from streaming.web.schemas import FileList, UploadForm
from streaming.web.services import services

#: Bytes that are copied at once.
CHUNK = 1 << 18
#: Files in one upload.
MAX_FILES = 100

files = owned_blueprint("files")


@files.post("/files")
@operation(
    "Upload files",
    tag="files",
    scope="submit",
    status=201,
    answers=FileList,
    body=UploadForm,
    body_type="multipart/form-data",
    more={
        413: "Too large",
        415: "Not multipart/form-data",
        501: "It has a `purpose`, as OpenAI's files do",
        503: "Storage is away",
    },
)
def upload() -> Response:
    """multipart/form-data; each part with a file name is one file. They are kept for a time."""
    asker = owner()
    limit = services().settings.max_upload_bytes
    if request.mimetype != "multipart/form-data":
        raise UnsupportedMedia("send the files as multipart/form-data: curl -F file=@data.csv")
    if (request.content_length or 0) > limit:
        raise _too_large(limit)
    request.max_content_length = limit
    with in_time():
        found = [each for _, each in request.files.items(multi=True) if each.filename]
    if "purpose" in request.form:
        raise NotOffered("files for a purpose, as OpenAI's API has them, are not kept here")
    if not 1 <= len(found) <= MAX_FILES:
        raise BadRequest(
            f"an upload has 1 to {MAX_FILES} files: curl -F file=@data.csv",
            errors=[{"field": "file", "message": f"1 to {MAX_FILES} files"}],
        )
    return as_json({"files": [_store(each, asker) for each in found]}, 201)


def _store(upload: FileStorage, asker: str) -> Json:
    blobs, name = services().storage.blobs, new_id("file_")
    size = blobs.put(f"{name}/content", _chunks(upload))
    shown = {
        "id": name,
        "name": (upload.filename or "")[:255],
        "media_type": upload.mimetype or "application/octet-stream",
        "size": size,
    }
    meta = dumps({**shown, "owner": asker, "created_at": now_rfc3339()})
    blobs.put(f"{name}/meta.json", [meta])
    return shown


def _chunks(upload: FileStorage) -> Iterator[bytes]:
    while chunk := upload.stream.read(CHUNK):
        yield chunk


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"the upload is over the limit of {limit} bytes (STREAMING_MAX_UPLOAD_BYTES)")
