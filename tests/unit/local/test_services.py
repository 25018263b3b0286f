"""The reader of services.toml."""

from pathlib import Path
from unittest.mock import Mock

import msgspec
import pytest

from darkroom_local import stack
from darkroom_local.blueprint import Blueprint
from darkroom_local.errors import LocalError
from darkroom_local.home import Home
from darkroom_local.services import Service, read_services
from darkroom_local.state import State

GATEWAY, *OTHERS = read_services()
DUMMY = msgspec.structs.replace(
    GATEWAY, name="a-dummy", package="a_dummy", port_setting="DARKROOM_DUMMY_PORT", port=8999
)


def written(folder: Path, *services: Service) -> Path:
    file = folder / "services.toml"
    blocks = ["".join(["[[services]]\n", *map(line, msgspec.structs.asdict(each).items())]) for each in services]
    file.write_text("\n".join(blocks))
    return file


def line(assignment: tuple[str, object]) -> str:
    name, value = assignment
    return f"{name} = {msgspec.json.encode(value).decode()}\n"  # such values are the same in JSON and TOML


def test_the_order_of_the_file_is_kept(tmp_path: Path) -> None:
    """Services start in the order in which the file names them."""
    assert read_services(written(tmp_path, DUMMY, GATEWAY)) == (DUMMY, GATEWAY)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The message holds its path."""
    with pytest.raises(LocalError, match=str(tmp_path / "services.toml")):
        read_services(tmp_path / "services.toml")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "a dummy"),
        ("package", "a-dummy"),
        ("port_setting", "DUMMY_PORT"),
        ("port", 0),
        ("ready_path", "readyz"),
        ("stop_seconds", 0),
        ("permanent_exit_codes", (256,)),
        ("edge", "yes"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, field: str, value: object) -> None:
    """A value out of bounds is refused with the name of the field."""
    with pytest.raises(LocalError, match=field):
        read_services(written(tmp_path, msgspec.structs.replace(DUMMY, **{field: value})))


def test_an_unknown_field_is_named(tmp_path: Path) -> None:
    """A mistyped field is not taken for one that is missing."""
    file = written(tmp_path, DUMMY)
    file.write_text(f'{file.read_text()}colour = "red"\n')
    with pytest.raises(LocalError, match="colour"):
        read_services(file)


@pytest.mark.parametrize("field", ["name", "package", "port_setting", "port"])
def test_what_must_differ_is_named(tmp_path: Path, field: str) -> None:
    """Two services never share a name, a package, a port or its setting."""
    twin = msgspec.structs.replace(DUMMY, **{field: getattr(GATEWAY, field)})
    with pytest.raises(LocalError, match=f"{getattr(GATEWAY, field)} more than once"):
        read_services(written(tmp_path, GATEWAY, twin))


def test_a_service_added_later_is_not_part_of_a_started_stack(tmp_path: Path) -> None:
    """Until the stack is started anew, it consists of the services that have a port in its state."""
    state = State()
    state.complete(OTHERS)
    started = Blueprint.draw(Home(tmp_path), state, (DUMMY, *OTHERS))
    assert started.services == tuple(OTHERS)
    state.complete((DUMMY, *OTHERS))
    assert Blueprint.draw(Home(tmp_path), state, (DUMMY, *OTHERS)).services == (DUMMY, *OTHERS)


def test_starting_a_running_stack_names_the_services_that_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`up` on a stack that was started before a service was added prints how to start it too."""
    state, home = State(), Home(tmp_path / "home")
    state.complete(OTHERS)
    before = Blueprint.draw(home, state, OTHERS)
    monkeypatch.setattr(stack, "_running", lambda home, state: before)
    monkeypatch.setattr(stack, "start", Mock(side_effect=LocalError("far enough")))
    with pytest.raises(LocalError, match="far enough"):
        stack.up(home)
    assert f"{GATEWAY.name}. " in capsys.readouterr().out


def test_the_edge_gets_the_address_of_each_service_behind_it(tmp_path: Path) -> None:
    """As DARKROOM_<NAME>_UPSTREAM, and no address of the others."""
    state, services = State(), (DUMMY, GATEWAY, *OTHERS)
    state.complete(services)
    (edge,) = Blueprint.draw(Home(tmp_path), state, services).edge.programs()
    assert edge.environment["DARKROOM_A_DUMMY_UPSTREAM"] == f"127.0.0.1:{state.ports['dummy']}"
    upstreams = {name for name in edge.environment if name.endswith("_UPSTREAM")}
    assert len(upstreams - {"DARKROOM_S3_UPSTREAM"}) == sum(service.edge for service in services)


def test_the_edge_asks_s3_under_the_host_that_urls_are_signed_for(tmp_path: Path) -> None:
    """It is the host and port of the services' own endpoint."""
    state = State()
    state.complete(OTHERS)
    blueprint = Blueprint.draw(Home(tmp_path), state, OTHERS)
    (edge,) = blueprint.edge.programs()
    assert blueprint.settings["DARKROOM_S3_ENDPOINT"] == f"http://{edge.environment['DARKROOM_S3_HOST']}"


def test_the_port_of_a_removed_service_is_forgotten() -> None:
    """The next start keeps the ports of the others."""
    state = State()
    state.complete((DUMMY, GATEWAY))
    before = dict(state.ports)
    assert state.complete((GATEWAY,)) == []
    assert state.ports == {name: port for name, port in before.items() if name != "dummy"}
