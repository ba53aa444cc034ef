"""The APIs that the demo's tasks use: a tool catalogue for a house, and a small web API."""

from __future__ import annotations

from typing import Any


def _tool(name: str, required: str, **properties: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": required.split()}
    return {"type": "function", "function": {"name": name, "parameters": schema}}


_TEXT = {"type": "string", "minLength": 1}
_FLAG = {"type": "boolean"}

TOOLS = (
    _tool(
        "set_timer",
        "amount unit",
        amount={"type": "integer", "minimum": 1},
        unit={"enum": ["seconds", "minutes", "hours"]},
        label=_TEXT,
    ),
    _tool(
        "get_weather",
        "city",
        city=_TEXT,
        days={"type": "integer", "minimum": 1, "maximum": 14},
        units={"enum": ["metric", "imperial"]},
    ),
    _tool("send_message", "to text", to=_TEXT, text=_TEXT, urgent=_FLAG),
    _tool(
        "set_light",
        "room",
        room=_TEXT,
        on=_FLAG,
        level={"type": "integer", "minimum": 0, "maximum": 100},
        color=_TEXT,
    ),
    _tool(
        "book_table",
        "people day time",
        people={"type": "integer", "minimum": 1},
        day={"enum": ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]},
        time={"type": "string", "pattern": "^[0-9]{2}:[0-9]{2}$"},
        outside=_FLAG,
    ),
    _tool(
        "play_music",
        "genre",
        genre=_TEXT,
        volume={"type": "integer", "minimum": 0, "maximum": 100},
        shuffle=_FLAG,
    ),
)
"""The tool catalogue, in the form of OpenAI's API."""


def _post(operation: str, schema: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    body = {"required": True, "content": content}
    return {
        "post": {"operationId": operation, "requestBody": body, "responses": {"201": {"description": "ok"}}}
    }


API = {
    "openapi": "3.1.0",
    "info": {"title": "A shop and a calendar", "version": "1"},
    "paths": {"/orders": _post("createOrder", "Order"), "/events": _post("createEvent", "Event")},
    "components": {
        "schemas": {
            "Item": {
                "type": "object",
                "properties": {"name": _TEXT, "count": {"type": "integer", "minimum": 1}},
                "required": ["name", "count"],
            },
            "Order": {
                "type": "object",
                "properties": {
                    "items": {
                        "type": "array",
                        "items": {"$ref": "#/components/schemas/Item"},
                        "minItems": 1,
                    },
                    "express": _FLAG,
                },
                "required": ["items"],
            },
            "Event": {
                "type": "object",
                "properties": {
                    "title": _TEXT,
                    "date": {"type": "string", "format": "date"},
                    "guests": {"type": "array", "items": _TEXT, "uniqueItems": True},
                },
                "required": ["title", "date"],
            },
        }
    },
}
"""The OpenAPI description of the web API."""
