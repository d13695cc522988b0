"""The questions that can be asked of a model."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response
from fastapi.security import HTTPBearer

from xlip.serve import answers, asks
from xlip.serve.description import body_of, problems
from xlip.serve.door import Door, one_film
from xlip.serve.problems import RequestError


def question_routes(door: Door) -> APIRouter:
    """`/v1/...`."""
    service = door.service
    bearer = HTTPBearer(auto_error=False, description="A token of the service's operator.")
    router = APIRouter(prefix="/v1", dependencies=[Depends(bearer)], responses=problems())

    @router.post("/zeroshot", openapi_extra=body_of(asks.ZeroShotAsk, "image"))
    async def zeroshot(request: Request) -> answers.ZeroShotAnswer:
        """How much speaks for each finding on each film."""
        async with door.passed(request, asks.ZeroShotAsk) as (ask, films):
            if not films:
                raise RequestError("no-image", "expected a PNG, JPEG or DICOM image as the body, or images in a form")
            found = await service.zeroshot(films, ask)
            door.record(request, films)
            return answers.ZeroShotAnswer(model=service.info, films=found)

    @router.post("/embed", openapi_extra=body_of(asks.EmbedAsk, "image", "json"))
    async def embed(request: Request) -> answers.EmbedAnswer:
        """Films and sentences in the model's joint space."""
        async with door.passed(request, asks.EmbedAsk) as (ask, films):
            if not films and not ask.texts:
                raise RequestError("no-image", "expected an image as the body, images in a form, or texts")
            images, texts = await service.embed(films, ask)
            door.record(request, films, ask.texts)
            return answers.EmbedAnswer(model=service.info, images=images, texts=texts)

    @router.post("/explain", openapi_extra=body_of(asks.ExplainAsk, "image"))
    async def explain(request: Request) -> answers.ExplainAnswer:
        """Where on the film the model sees each finding."""
        async with door.passed(request, asks.ExplainAsk) as (ask, films):
            film = one_film(films)
            how, maps = await service.explain(film, ask)
            door.record(request, films)
            return answers.ExplainAnswer(
                model=service.info, input=film.sha256, how=how, warning=film.warning, maps=maps
            )

    @router.post("/dicom", openapi_extra=body_of(asks.DicomAsk, "image"), response_class=Response)
    async def dicom(request: Request) -> Response:
        """The scores and maps of a film that came as DICOM as objects of its study, in a ZIP file."""
        async with door.passed(request, asks.DicomAsk) as (ask, films):
            film = one_film(films)
            made = await service.dicom(film, ask)
            door.record(request, films)
            return Response(made, media_type="application/zip", headers={"X-Input-Sha256": film.sha256})

    @router.post("/search", openapi_extra=body_of(asks.SearchAsk, "image", "json"))
    async def search(request: Request) -> answers.SearchAnswer:
        """Cases of the index that are most like a film, or like a sentence."""
        async with door.passed(request, asks.SearchAsk) as (ask, films):
            cases = await service.search(one_film(films) if films else None, ask)
            door.record(request, films, [ask.text or ""])
            return answers.SearchAnswer(model=service.info, input=films[0].sha256 if films else "", cases=cases)

    _add_plain(router, door)
    return router


def _add_plain(router: APIRouter, door: Door) -> None:
    """What needs no model."""
    service = door.service

    @router.post("/film", openapi_extra=body_of(asks.FilmAsk, "image"), response_class=Response)
    async def film(request: Request) -> Response:
        """The film as PNG, cut as the model sees it, so that maps lie on it: browsers cannot show DICOM."""
        async with door.passed(request, asks.FilmAsk) as (_, films):
            shown = one_film(films)
            return Response(
                await service.picture(shown), media_type="image/png", headers={"X-Input-Sha256": shown.sha256}
            )

    @router.get("/kinds")
    async def kinds(request: Request) -> answers.KindsAnswer:
        """What can be asked for."""
        door.key(request)
        return service.describe()
