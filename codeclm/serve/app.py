"""The routes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from importlib.resources import files
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response, WebSocket
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.datastructures import UploadFile
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection

import codeclm
from codeclm.serve import errors, metrics
from codeclm.serve.conversation import Conversation
from codeclm.serve.errors import RefusalError, unknown
from codeclm.serve.gate import Gate
from codeclm.serve.service import Service, Settings
from codeclm.serve.speech import SpeechRequest, Spoken
from codeclm.serve.voices import make
from codeclm.tts.generate import TTS

FORM = 20_000  # bytes that a form has beside its recording

routes = APIRouter()


def make_app(tts: TTS, settings: Settings) -> FastAPI:
    """The application around a model; it opens its scheduler when it is started."""

    @contextlib.asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        app.state.service = service = Service(tts, settings)
        # Now, so that nobody's speech waits for it when the first recording comes.
        loading = asyncio.create_task(asyncio.to_thread(lambda: tts.codec))
        yield
        await asyncio.gather(loading, return_exceptions=True)
        await asyncio.to_thread(service.close)

    # No page of its own for the routes: FastAPI's loads scripts from elsewhere.
    app = FastAPI(
        title="codeclm", version=codeclm.__version__, lifespan=life, docs_url=None, redoc_url=None
    )
    errors.use(app)
    app.include_router(routes)
    app.add_middleware(
        Gate,
        keys=settings.keys,
        origins=settings.origins,
        any_host=settings.any_host,
        most=16 * settings.longest + FORM,
        most_upload=settings.upload + FORM,
    )
    if settings.origins:
        allowed = list(settings.origins)
        app.add_middleware(
            CORSMiddleware, allow_origins=allowed, allow_methods=["*"], allow_headers=["*"]
        )
    return app


async def service_of(connection: HTTPConnection) -> Service:
    """The parts that an app shares."""
    service: Service = connection.app.state.service
    return service


Shared = Annotated[Service, Depends(service_of)]


@routes.post("/v1/audio/speech", response_class=Response)
async def speech(service: Shared, wanted: SpeechRequest) -> Response:
    """Says a text; OpenAI's route."""
    wanted.check()
    service.voice(wanted)
    said = await asyncio.to_thread(service.said, wanted.input, wanted.language)
    return Spoken(service, wanted, *service.answer(wanted, said))


@routes.websocket("/v1/audio/stream")
async def stream(service: Shared, socket: WebSocket) -> None:
    """Text in, sound out (`conversation`)."""
    await Conversation(service, socket).run()


@routes.get("/v1/models")
async def models(service: Shared) -> dict[str, Any]:
    """The model, by all its names."""
    return {"object": "list", "data": [_model(name) for name in service.settings.names]}


@routes.get("/v1/models/{name:path}")
async def model(service: Shared, name: str) -> dict[str, Any]:
    """The model by one of its names."""
    if name not in service.settings.names:
        raise unknown("model", name)
    return _model(name)


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "codeclm"}


@routes.get("/v1/voices")
@routes.get("/v1/audio/voices")
async def voices(service: Shared) -> dict[str, Any]:
    """All voices."""
    found = await asyncio.to_thread(service.voices.listed)
    return {"object": "list", "data": found, "has_more": False}


@routes.post("/v1/voices")
@routes.post("/v1/audio/voices")
async def new_voice(service: Shared, request: Request) -> JSONResponse:
    """Makes a voice from a recording: a form of `file`, `name`, `transcript`, `language`."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise RefusalError("send a form (multipart/form-data) with a file", "wrong_type", "file")
    async with request.form(max_files=1, max_fields=8, max_part_size=FORM) as form:
        upload = form.get("file") or form.get("audio_sample")
        if not isinstance(upload, UploadFile):
            raise RefusalError("file: a recording is needed", "missing", "file")
        default = {"name": "voice", "transcript": "", "language": "en"}
        given = [str(form.get(field) or default[field]) for field in default]
        try:
            async with service.making:
                voice = await asyncio.to_thread(make, service.tts, upload.file, *given)
                # Its first speech need not wait.
                await asyncio.wrap_future(service.scheduler.ask(lambda: service.tts.prepare(voice)))
                made = await asyncio.to_thread(service.voices.add, voice)
        except ValueError as error:
            raise RefusalError(str(error), "invalid_value", "file") from None
        except ImportError:
            raise RefusalError(
                "this server has no torch to make voices with", "unsupported", status=501
            ) from None
    return JSONResponse({**made, "doubts": list(voice.doubts)}, 201)


@routes.delete("/v1/voices/{name}")
@routes.delete("/v1/audio/voices/{name}")
async def no_voice(service: Shared, name: str) -> dict[str, Any]:
    """Forgets an uploaded voice."""
    service.voices.remove(name)
    return {"id": name, "object": "voice.deleted", "deleted": True}


@routes.get("/health")
async def health(service: Shared) -> JSONResponse:
    """Whether it answers; 503 while it is shutting down."""
    about = {"model": service.settings.names[0], "version": codeclm.__version__}
    if service.leaving:
        return JSONResponse({"status": "leaving", **about}, 503)
    return JSONResponse({"status": "ok", **about})


@routes.get("/metrics")
async def figures(service: Shared) -> Response:
    """Figures for Prometheus."""
    return Response(service.metrics.text(), media_type=metrics.TYPE)


@routes.get("/reports")
async def reports(service: Shared) -> dict[str, Any]:
    """Names of the comparisons that are shown here."""
    return {"object": "list", "data": [path.stem for path in service.settings.reports]}


@routes.get("/reports/{name}", response_class=HTMLResponse)
async def report(service: Shared, name: str) -> HTMLResponse:
    """One of them. What runs in it cannot reach the server."""
    for path in service.settings.reports:
        if path.stem == name:
            text = await asyncio.to_thread(path.read_text, "utf-8")
            return HTMLResponse(text, headers={"Content-Security-Policy": "sandbox allow-scripts"})
    raise HTTPException(404)


@routes.get("/", response_class=HTMLResponse)
async def page() -> HTMLResponse:
    """The page."""
    text = files("codeclm.serve").joinpath("page.html").read_text("utf-8")
    return HTMLResponse(text, headers={"X-Frame-Options": "DENY"})
