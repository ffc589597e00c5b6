"""An API framework and server for Python whose whole request path is C."""

from weft.app import App
from weft.background import BackgroundTask, BackgroundTasks
from weft.datastructures import UploadFile
from weft.exceptions import HTTPException, RequestValidationError, ResponseValidationError
from weft.loop import EventLoopPolicy, Loop, install, new_event_loop, run
from weft.params import Body, Cookie, Depends, File, Form, Header, Path, Query, Security
from weft.requests import ClientDisconnect, Request
from weft.responses import (
    EventSourceResponse,
    FileResponse,
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from weft.routing import APIRoute, Router
from weft.shapes import Shape, shape
from weft.sse import ServerSentEvent

__version__ = "0.1.0"

__all__ = [
    "APIRoute",
    "App",
    "BackgroundTask",
    "BackgroundTasks",
    "Body",
    "ClientDisconnect",
    "Cookie",
    "Depends",
    "EventLoopPolicy",
    "EventSourceResponse",
    "File",
    "FileResponse",
    "Form",
    "HTMLResponse",
    "HTTPException",
    "Header",
    "JSONResponse",
    "Loop",
    "Path",
    "PlainTextResponse",
    "Query",
    "RedirectResponse",
    "Request",
    "RequestValidationError",
    "Response",
    "ResponseValidationError",
    "Router",
    "Security",
    "ServerSentEvent",
    "Shape",
    "StreamingResponse",
    "UploadFile",
    "install",
    "new_event_loop",
    "run",
    "shape",
]
