"""The gateway described in OpenAPI 3.1."""

from __future__ import annotations

from typing import Any, Final

_VALUE: Final = {"type": ["number", "boolean", "string"]}
_READING: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["device", "sensor", "value"],
    "properties": {
        "device": {"type": "string", "minLength": 1, "maxLength": 256},
        "sensor": {"type": "string", "minLength": 1, "maxLength": 256},
        "value": _VALUE,
        "unit": {"type": "string", "maxLength": 64},
        "site": {"type": "string", "maxLength": 256},
        "ts": {
            "type": ["string", "number"],
            "description": "RFC 3339 with a time zone, or epoch s, ms, µs or ns; default: now",
        },
        "seq": {"type": "integer", "minimum": 0},
        "boot": {"type": ["string", "integer"]},
    },
}
_READ: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "device": {"type": "string"},
        "sensor": {"type": "string"},
        "value": _VALUE,
        "unit": {"type": "string"},
        "ts": {"type": "string", "format": "date-time"},
        "source": {"enum": ["cache", "store"]},
        "node": {"type": "string"},
        "ttl_s": {"type": ["number", "null"]},
        "miss_reason": {"type": ["string", "null"]},
        "stale": {"const": True},
        "latency_ms": {"type": "number"},
    },
}
_HEALTH: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"status": {"enum": ["ok", "waiting"]}, "waiting_for": {"type": "string"}},
}
_ERROR: Final = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}


def _answer(text: str, schema: dict[str, Any] | None = None) -> dict[str, Any]:
    if schema is None:
        return {"description": text}
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _name(place: str) -> dict[str, Any]:
    text = "Percent-encoded as a whole, a slash within it as %2F."
    schema = {"type": "string", "minLength": 1}
    return {"name": place, "in": "path", "required": True, "description": text, "schema": schema}


def document(url: str) -> dict[str, Any]:
    """The document for a gateway at ``url``."""
    refusals = {
        "401": _answer("A bearer token is needed.", _ERROR),
        "403": _answer("Without a token, web pages and other host names are refused.", _ERROR),
        "503": _answer("The store is away or the gateway is busy: try again.", _ERROR),
    }
    one_or_many = {"oneOf": [_READING, {"type": "array", "items": _READING, "maxItems": 10_000}]}
    committed = {"type": "object", "properties": {"committed": {"type": "integer"}}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "iotcache gateway", "version": "1"},
        "servers": [{"url": url}],
        "components": {"securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}},
        "security": [{}, {"bearer": []}],
        "paths": {
            "/v1/readings": {
                "post": {
                    "summary": "Take one reading or an array of them; the answer comes after the commit.",
                    "requestBody": {
                        "required": True,
                        "content": {"application/json": {"schema": one_or_many}},
                    },
                    "responses": {
                        "200": _answer("All of them are committed.", committed),
                        "400": _answer("The body is not readings; nothing was taken.", _ERROR),
                        "408": _answer("The body did not arrive within 10 s.", _ERROR),
                        "413": _answer("The body is larger than 1 MiB.", _ERROR),
                        **refusals,
                    },
                }
            },
            "/v1/devices/{device}/{sensor}": {
                "get": {
                    "summary": "The newest reading, through the cache.",
                    "parameters": [_name("device"), _name("sensor")],
                    "responses": {
                        "200": _answer("The reading and where it was found.", _READ),
                        "400": _answer("The names cannot be looked up.", _ERROR),
                        "404": _answer("Nothing is known of this series.", _ERROR),
                        **refusals,
                    },
                }
            },
            "/metrics": {
                "get": {
                    "summary": "Prometheus metrics.",
                    "responses": {"200": _answer("Text exposition format."), **refusals},
                }
            },
            "/healthz": {
                "get": {
                    "summary": "Whether broker and store answer.",
                    "security": [],
                    "responses": {
                        "200": _answer("All is well.", _HEALTH),
                        "503": _answer("Something is waited for.", _HEALTH),
                    },
                }
            },
        },
    }
