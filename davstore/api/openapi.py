"""The API's description of itself (OpenAPI 3.1). Tests call the API by it, so it cannot promise what does not hold."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from ..errors import PROBLEM
from ..request import Response
from ..uploads import OFFSETS
from .call import FILENAME as FILENAME_PATTERN
from .call import ID, JSON, MEDIA_TYPE, Call, answer

Schema = dict[str, Any]

UID = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
TEXT: Schema = {"type": "string", "maxLength": 250, "pattern": r"^[^\x00-\x1f\x7f]*$"}
FILENAME: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": 250,
    "pattern": FILENAME_PATTERN,
    "not": {"enum": [".", ".."]},
    "description": "Where it is longer than 255 bytes, or another file has it, another name is made of it.",
}
ID_TEXT: Schema = {"type": "string", "pattern": ID}
TYPE: Schema = {"type": "string", "pattern": MEDIA_TYPE}
BUCKET: Schema = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$", "default": "files"}
VISIBILITIES = ["private", "protected", "public"]
ORDERS = ["created", "-created", "filename", "-filename", "size", "-size"]
TIME: Schema = {"type": "string", "format": "date-time"}
BINARY: Schema = {"type": "string", "format": "binary"}
NOTHING: Mapping[str, Any] = {"description": "Done."}


def get(call: Call) -> Response:
    return answer(200, document())


@cache
def document() -> Schema:
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "davstore",
            "version": "1",
            "description": "Attachments and documents of a davstore. Errors are RFC 9457 problems with a `code`.",
        },
        "servers": [{"url": "/api/v1"}],
        "security": [{"password": []}, {"token": []}],
        "paths": {**_attachments(), **_documents(), **_uploads(), **_signing_in()},
        "components": {
            "securitySchemes": {
                "password": {"type": "http", "scheme": "basic"},
                "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
            },
            "schemas": _schemas(),
        },
    }


def _attachments() -> Schema:
    fields: Schema = {"filename": FILENAME, "media_type": TYPE, "id": ID_TEXT}
    form = _object({"file": BINARY, **fields}, required=["file"])
    bodies = {"multipart/form-data": {"schema": form}, "application/octet-stream": {"schema": BINARY}}
    making = [*(_query(name, schema) for name, schema in fields.items()), _query("document", ID_TEXT)]
    ids = {"type": "array", "items": ID_TEXT, "minItems": 1, "maxItems": 100}
    change = _object({"filename": FILENAME, "media_type": TYPE}) | {"minProperties": 1}
    return {
        "/attachments": {
            "get": _call("listAttachments", "Attachments, page by page", _shown("Page"), parameters=_filters()),
            "post": _call(
                "createAttachment",
                "Make an attachment of a body, or of a form with a file",
                _created("Attachment"),
                parameters=[*making, _query("bucket", BUCKET)],
                body={"required": True, "content": bodies},
            ),
        },
        "/attachments:batchDelete": {
            "post": _call(
                "deleteAttachments",
                "Put all of them into the trash, or none",
                {"204": NOTHING},
                body=_json(_object({"ids": ids}, required=["ids"])),
            )
        },
        "/attachments/{id}": {
            "parameters": [_path("id", ID_TEXT)],
            "get": _call("getAttachment", "What there is to know of it", _shown("Attachment")),
            "patch": _call("changeAttachment", "Another name, or type", _shown("Attachment"), body=_json(change)),
            "delete": _call("deleteAttachment", "Put it into the trash", {"204": NOTHING}),
        },
    }


def _filters() -> list[Schema]:
    page: Schema = {"type": "integer", "minimum": 1, "maximum": 1000, "default": 50}
    return [
        _query("page_size", page),
        _query("page_token", TEXT),
        _query("order_by", {"type": "string", "enum": ORDERS, "default": "-created"}),
        _query("filename", TEXT, "A part of the name, whatever its case."),
        _query("media_type", TEXT, "The type, or all of a kind as image/*."),
        _query("created_from", TIME, "Made at that time or later."),
        _query("created_until", TIME, "Made before."),
        _query("document", ID_TEXT, "Of this document; without it of all of yours, and what no document has."),
    ]


def _documents() -> Schema:
    making = {
        "name": FILENAME,
        "bucket": BUCKET,
        "visibility": {"type": "string", "enum": VISIBILITIES, "default": "private"},
    }
    change = {"visibility": {"type": "string", "enum": [*VISIBILITIES, "inherit"]}, "is_local": {"type": "boolean"}}
    ids = {"type": "array", "items": ID_TEXT, "maxItems": 1000}
    uid = _path("uid", {"type": "string", "pattern": UID})
    return {
        "/documents": {
            "post": _call(
                "createDocument",
                "Make a collection that is a document of yours",
                _created("Document"),
                body=_json(_object(making, required=["name"])),
            )
        },
        "/documents/{uid}": {
            "parameters": [uid],
            "get": _call("getDocument", "What there is to know of it", _shown("Document")),
            "patch": _call(
                "changeDocument",
                "Another visibility, or a library",
                _shown("Document"),
                body=_json(_object(change) | {"minProperties": 1}),
            ),
        },
        "/documents/{uid}/attachments": {
            "parameters": [uid],
            "get": _call("listDocumentAttachments", "What it has, in order", _shown("Attachments")),
            "put": _call(
                "setDocumentAttachments",
                "It has these, in this order; what it had besides is in the trash",
                _shown("Attachments"),
                body=_json(_object({"ids": ids}, required=["ids"])),
            ),
        },
    }


def _uploads() -> Schema:
    """tus 1.0.0, whose clients need no description; it is here for those who look for the address."""
    version = _header("Tus-Resumable", {"const": "1.0.0"})
    length = _header("Upload-Length", {"type": "integer", "minimum": 0, "maximum": 1 << 62}, "Bytes that will come.")
    about = _header("Upload-Metadata", {"type": "string"}, "Keys with values in Base64: path, or filename; filetype …")
    offset = _header("Upload-Offset", {"type": "integer", "minimum": 0, "maximum": 1 << 62}, "Bytes that are there.")
    part = {"required": True, "content": {OFFSETS: {"schema": BINARY}}}
    uid = _path("uid", {"type": "string", "pattern": UID})
    return {
        "/uploads": {
            "post": _call(
                "createUpload",
                "Begin an upload that can be resumed (tus 1.0.0)",
                {"201": _uploaded("Begun.", "Location", "Upload-Offset")},
                parameters=[version, length, about],
            )
        },
        "/uploads/{uid}": {
            "parameters": [uid, version],
            "head": _call("tellUpload", "How far it is", {"200": _uploaded("It.", "Upload-Offset", "Upload-Length")}),
            "patch": _call(
                "resumeUpload",
                "The next bytes; the last ones make the file",
                {"204": _uploaded("They are there.", "Upload-Offset")},
                parameters=[offset],
                body=part,
            ),
            "delete": _call("removeUpload", "The upload and its bytes are gone", {"204": NOTHING}),
        },
    }


def _signing_in() -> Schema:
    label = {"type": "string", "minLength": 1, "maxLength": 128, "pattern": r"^[^\x00-\x1f\x7f]*$"}
    return {
        "/auth/token": {"post": _call("createToken", "A token for a short while, for your password", _shown("Token"))},
        "/auth/app-passwords": {
            "get": _call("listAppPasswords", "Your app passwords", _shown("AppPasswords")),
            "post": _call(
                "createAppPassword",
                "A password for one program, told this once",
                _created("NewAppPassword", has_address=False),
                body=_json(_object({"label": label}, required=["label"])),
            ),
        },
        "/auth/app-passwords/{uid}": {
            "parameters": [_path("uid", {"type": "string", "pattern": UID})],
            "delete": _call("revokeAppPassword", "It opens nothing any more", {"204": NOTHING}),
        },
    }


def _schemas() -> Schema:
    text: Schema = {"type": "string"}
    maybe: Schema = {"type": ["string", "null"]}
    visibility: Schema = {"type": "string", "enum": VISIBILITIES}
    attachment = {
        **dict.fromkeys(("id", "uid", "object_uid", "filename", "media_type", "path", "url"), text),
        "size": {"type": "integer", "minimum": 0},
        "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        "created": TIME,
        "modified": TIME,
        "document": maybe,
        "visibility": visibility,
        "is_local": {"type": "boolean"},
    }
    document = {"uid": text, "name": text, "path": text, "owner": maybe, "visibility": visibility}
    password = {
        "uid": text,
        "label": text,
        "created": TIME,
        "used": {"type": ["string", "null"], "format": "date-time"},
    }
    many: Schema = {"type": "array", "items": _ref("Attachment")}
    token = {"access_token": text, "token_type": {"const": "Bearer"}, "expires_in": {"type": "integer"}}
    problem = {"status": {"type": "integer"}, "title": text, "code": text, "detail": text}
    return {
        "Attachment": _all(attachment),
        "Attachments": _all({"attachments": many}),
        "Page": _all({"attachments": many, "next_page_token": maybe}),
        "Document": _all({**document, "is_local": {"type": "boolean"}}),
        "Token": _all(token),
        "AppPassword": _all(password),
        "AppPasswords": _all({"app_passwords": {"type": "array", "items": _ref("AppPassword")}}),
        "NewAppPassword": _all({**password, "password": text}),
        "Problem": {"type": "object", "properties": problem, "required": ["status", "title", "code"]},
    }


def _call(
    name: str, summary: str, responses: Mapping[str, Any], *, parameters: list[Schema] | None = None, body: Any = None
) -> Schema:
    problem = {"description": "Refused, and why.", "content": {PROBLEM: {"schema": _ref("Problem")}}}
    every = {**responses, "default": problem}
    rest = {"parameters": parameters} if parameters else {}
    return {"operationId": name, "summary": summary, **rest, "responses": every} | (
        {"requestBody": body} if body else {}
    )


def _object(properties: Mapping[str, Schema], required: list[str] | None = None) -> Schema:
    about: Schema = {"type": "object", "properties": dict(properties), "additionalProperties": False}
    return about | ({"required": required} if required else {})


def _all(properties: Mapping[str, Schema]) -> Schema:
    return _object(properties, list(properties))


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(schema: Schema) -> Schema:
    return {"required": True, "content": {JSON: {"schema": schema}}}


def _shown(name: str) -> Schema:
    tag = {"ETag": {"schema": {"type": "string"}, "description": "For If-Match and If-None-Match."}}
    return {"200": {"description": "It.", "headers": tag, "content": {JSON: {"schema": _ref(name)}}}}


def _created(name: str, *, has_address: bool = True) -> Schema:
    made = _shown(name)["200"] | {"description": "Made."}
    location = {"Location": {"schema": {"type": "string"}, "required": True}}
    return {"201": made | ({"headers": location} if has_address else {})}


def _query(name: str, schema: Schema, description: str = "") -> Schema:
    return {"name": name, "in": "query", "schema": schema} | ({"description": description} if description else {})


def _header(name: str, schema: Schema, description: str = "") -> Schema:
    return {**_query(name, schema, description), "in": "header", "required": True}


def _uploaded(description: str, *headers: str) -> Schema:
    told = {name: {"schema": {"type": "string"}, "required": True} for name in ("Tus-Resumable", *headers)}
    return {"description": description, "headers": told}


def _path(name: str, schema: Schema) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": schema}
