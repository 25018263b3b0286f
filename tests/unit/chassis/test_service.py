"""The frame of a service process: how it starts, drains and exits."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from starlette.applications import Starlette

from chassis import logs, service
from chassis.errors import FatalError
from chassis.health import Health
from chassis.service import BAD_SETTINGS_EXIT_CODE, App, Runnable, main
from chassis.settings import Address, ServiceSettings, SettingsError
from darkroom_contracts.models import CatalogueError
from darkroom_local.ports import LOOPBACK
from tests.support.ports import free_port

OpenApp = Callable[["Settings"], AbstractAsyncContextManager[App]]


class Settings(ServiceSettings, frozen=True, kw_only=True):
    kitchen_port: int

    @property
    def address(self) -> Address:
        return Address(LOOPBACK, self.kitchen_port)


class Cook:
    """A loop that stops its service as soon as it runs, and takes a moment to drain."""

    def __init__(self) -> None:
        self.drained = False

    async def run(self, stop: asyncio.Event) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await stop.wait()
        await asyncio.sleep(0)
        self.drained = True


class Broken:
    """A loop that raises."""

    async def run(self, stop: asyncio.Event) -> None:
        raise FatalError("The oven is cold; light it.", code="cold_oven", exit_code=71)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Provide settings of a service; logs and garbage collection stay as the tests have them."""
    monkeypatch.setenv("DARKROOM_KITCHEN_PORT", str(free_port()))
    monkeypatch.setattr(logs, "configure", lambda *_: None)
    monkeypatch.setattr(service, "_tune_garbage_collection", lambda: None)


def opening(*loops: Runnable, closed: list[bool] | None = None) -> OpenApp:
    @asynccontextmanager
    async def open_app(settings: Settings) -> AsyncIterator[App]:
        health = Health({})
        yield App(Starlette(), health, loops)
        if closed is not None:
            closed.append(health.draining)

    return open_app


def refusing(error: Exception) -> OpenApp:
    def open_app(settings: Settings) -> AbstractAsyncContextManager[App]:
        raise error

    return open_app


def test_sigterm_drains_the_loops_then_closes_the_app() -> None:
    """`main` returns once a loop has finished its round and the app is closed, with readiness off."""
    cook, closed = Cook(), list[bool]()
    main("kitchen", Settings, opening(cook, closed=closed))
    assert cook.drained
    assert closed == [True]


def test_missing_settings_exit_with_their_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every missing setting is named on stderr, and the app is not opened."""
    monkeypatch.delenv("DARKROOM_KITCHEN_PORT")
    with pytest.raises(SystemExit) as caught:
        main("kitchen", Settings, refusing(AssertionError("opened")))
    assert caught.value.code == BAD_SETTINGS_EXIT_CODE
    assert "DARKROOM_KITCHEN_PORT: is not set" in capsys.readouterr().err


@pytest.mark.parametrize("error", [SettingsError("DARKROOM_MODEL: unknown"), CatalogueError("No such file.")])
def test_an_app_that_refuses_its_settings_exits_with_the_same_code(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    """Some mistakes are found only when the app opens what the settings name."""
    with pytest.raises(SystemExit) as caught:
        main("kitchen", Settings, refusing(error))
    assert caught.value.code == BAD_SETTINGS_EXIT_CODE
    assert str(error) in capsys.readouterr().err


@pytest.mark.parametrize(
    "open_app", [opening(Broken()), refusing(FatalError("The oven is cold.", code="cold_oven", exit_code=71))]
)
def test_a_fatal_error_exits_with_its_own_code(open_app: OpenApp) -> None:
    """Whether a loop raises it or the app can't be opened."""
    with pytest.raises(SystemExit) as caught:
        main("kitchen", Settings, open_app)
    assert caught.value.code == 71


def test_a_defect_is_not_taken_for_a_refusal() -> None:
    """An unforeseen exception passes through with its traceback."""
    with pytest.raises(ZeroDivisionError):
        main("kitchen", Settings, refusing(ZeroDivisionError()))
