"""Settings from the environment."""

from typing import Annotated, Literal

import msgspec
import pytest
from msgspec import Meta

from chassis.settings import (
    BrokerSettings,
    DatabaseSettings,
    LinkSettings,
    Port,
    SettingsError,
    WebhookTargetSettings,
    load,
)
from chassis.targets import Policy


class Fridge(msgspec.Struct, frozen=True, kw_only=True):
    fridge_shelves: int = 4
    fridge_drawers: int = 2

    def __post_init__(self) -> None:
        if self.fridge_drawers > self.fridge_shelves:
            raise SettingsError("DARKROOM_FRIDGE_DRAWERS: more drawers than shelves")


class Kitchen(msgspec.Struct, frozen=True, kw_only=True):
    database: DatabaseSettings
    broker: BrokerSettings
    fridge: Fridge
    kitchen_port: Port = 8080
    ovens: Annotated[int, Meta(ge=1)]
    light: Literal["dim", "bright"] = "dim"
    spices: Annotated[tuple[str, ...], Meta(description="In the order of their use.")] = ()

    def __post_init__(self) -> None:
        if self.ovens > self.kitchen_port:
            raise SettingsError("DARKROOM_OVENS: more than the port\nDARKROOM_KITCHEN_PORT: less than the ovens")


GOOD = {
    "DARKROOM_DATABASE_URL": "postgresql://cook:salt@127.0.0.1/kitchen",
    "DARKROOM_AMQP_URL": "amqp://127.0.0.1/",
    "DARKROOM_OVENS": "2",
}


def test_fields_are_read_and_defaults_taken() -> None:
    """The fields of a group have no additional prefix."""
    kitchen = load(Kitchen, GOOD | {"DARKROOM_DATABASE_CONNECTIONS": "7"})
    assert (kitchen.ovens, kitchen.kitchen_port, kitchen.database.database_connections) == (2, 8080, 7)
    assert kitchen.broker.retry_delays == (10, 60, 300)


def test_tuples_are_comma_separated() -> None:
    """Spaces around the commas are ignored."""
    assert load(Kitchen, GOOD | {"DARKROOM_RETRY_DELAYS": "1, 2,3"}).broker.retry_delays == (1, 2, 3)


def test_a_described_tuple_is_comma_separated_too() -> None:
    """A description does not change how the field is read."""
    assert load(Kitchen, GOOD | {"DARKROOM_SPICES": "salt, pepper"}).spices == ("salt", "pepper")


def test_every_mistake_is_told_at_once() -> None:
    """Missing and wrong settings, in groups and outside, have one line each."""
    wrong = {"DARKROOM_DATABASE_URL": "mysql://x", "DARKROOM_KITCHEN_PORT": "99999", "DARKROOM_OVENS": "many"}
    with pytest.raises(SettingsError) as caught:
        load(Kitchen, wrong)
    lines = str(caught.value).splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "DARKROOM_DATABASE_URL",
        "DARKROOM_AMQP_URL",
        "DARKROOM_KITCHEN_PORT",
        "DARKROOM_OVENS",
    ]
    assert lines[1].endswith("is not set")


def test_a_contradiction_is_a_mistake_like_others() -> None:
    """An error that a group raises is reported with the other mistakes."""
    with pytest.raises(SettingsError) as caught:
        load(Kitchen, GOOD | {"DARKROOM_FRIDGE_DRAWERS": "5", "DARKROOM_AMQP_URL": ""})
    assert str(caught.value).splitlines() == [
        "DARKROOM_AMQP_URL: is not set",
        "DARKROOM_FRIDGE_DRAWERS: more drawers than shelves",
    ]


def test_a_service_s_own_settings_may_contradict_each_other() -> None:
    """One error may name several variables, each on a line of its own."""
    with pytest.raises(SettingsError) as caught:
        load(Kitchen, GOOD | {"DARKROOM_OVENS": "9000"})
    assert [line.partition(":")[0] for line in str(caught.value).splitlines()] == [
        "DARKROOM_OVENS",
        "DARKROOM_KITCHEN_PORT",
    ]


def test_values_are_never_repeated() -> None:
    """A mistyped URL may contain a password."""
    with pytest.raises(SettingsError) as caught:
        load(Kitchen, GOOD | {"DARKROOM_DATABASE_URL": "postgre://cook:hunter2@db/kitchen"})
    assert "hunter2" not in str(caught.value)
    with pytest.raises(SettingsError, match="DARKROOM_LIGHT: must be one of bright, dim") as caught:
        load(Kitchen, GOOD | {"DARKROOM_LIGHT": "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_an_empty_variable_counts_as_unset() -> None:
    """Compose files and unit files set empty variables to mean none."""
    assert load(Kitchen, GOOD | {"DARKROOM_KITCHEN_PORT": ""}).kitchen_port == 8080
    with pytest.raises(SettingsError, match="DARKROOM_OVENS: is not set"):
        load(Kitchen, GOOD | {"DARKROOM_OVENS": ""})


def test_the_direct_url_is_the_database_url_unless_it_is_set() -> None:
    """Sessions that hold locks or LISTEN bypass a connection pooler."""
    direct = "postgresql://cook:salt@10.0.0.7/kitchen"
    assert load(Kitchen, GOOD).database.direct_url == GOOD["DARKROOM_DATABASE_URL"]
    assert load(Kitchen, GOOD | {"DARKROOM_DATABASE_DIRECT_URL": direct}).database.direct_url == direct
    with pytest.raises(SettingsError, match="DARKROOM_DATABASE_DIRECT_URL"):
        load(Kitchen, GOOD | {"DARKROOM_DATABASE_DIRECT_URL": "10.0.0.7"})


@pytest.mark.parametrize("delays", ["0", "10,x", "10,,20", "3601", ",".join("1" * 9)])
def test_retry_delays_are_bounded(delays: str) -> None:
    """Each is between a second and an hour, and there are at most eight."""
    with pytest.raises(SettingsError, match="DARKROOM_RETRY_DELAYS"):
        load(Kitchen, GOOD | {"DARKROOM_RETRY_DELAYS": delays})


def test_webhooks_reach_public_hosts_alone_by_default() -> None:
    """Without settings no host is allowed beside the public ones, and port 443 alone."""
    assert load(WebhookTargetSettings, {}).policy == Policy() == Policy.of([], (443,))


def test_hosts_for_webhooks_are_named_one_by_one() -> None:
    """Names, addresses and CIDRs are separated by commas."""
    hosts = "127.0.0.1, receiver, 10.1.0.0/16"
    settings = load(
        WebhookTargetSettings,
        {"DARKROOM_WEBHOOK_ALLOWED_HOSTS": hosts, "DARKROOM_WEBHOOK_ALLOWED_PORTS": "443,8443"},
    )
    assert settings.policy == Policy.of(["127.0.0.1", "receiver", "10.1.0.0/16"], (443, 8443))


def test_webhooks_are_never_allowed_everywhere() -> None:
    """A network that holds everything, and a pattern, are mistakes."""
    for hosts in ("0.0.0.0/0", "::/0", "*"):
        with pytest.raises(SettingsError, match="DARKROOM_WEBHOOK_ALLOWED_HOSTS: entry 1 is"):
            load(WebhookTargetSettings, {"DARKROOM_WEBHOOK_ALLOWED_HOSTS": hosts})


def test_networks_that_are_internal_here_can_be_denied() -> None:
    """Mistakes in both lists are reported at once."""
    environ = {"DARKROOM_WEBHOOK_DENIED_NETWORKS": "2a00:64::/96, 93.184.216.34"}
    assert load(WebhookTargetSettings, environ).policy == Policy.of([], denied=["2a00:64::/96", "93.184.216.34"])
    with pytest.raises(SettingsError) as raised:
        load(
            WebhookTargetSettings,
            {"DARKROOM_WEBHOOK_DENIED_NETWORKS": "10.0.0.1/8", "DARKROOM_WEBHOOK_ALLOWED_HOSTS": "*"},
        )
    assert [line.partition(": entry 1 is")[0] for line in str(raised.value).split("\n")] == [
        "DARKROOM_WEBHOOK_ALLOWED_HOSTS",
        "DARKROOM_WEBHOOK_DENIED_NETWORKS",
    ]


@pytest.mark.parametrize("url", ["https://darkroom.example", "http://127.0.0.1:8080"])
def test_a_public_url_is_an_origin(url: str) -> None:
    """It precedes paths, so it has none itself; without it nothing precedes them."""
    assert load(LinkSettings, {"DARKROOM_PUBLIC_URL": url}).origin == url
    assert load(LinkSettings, {}).origin == ""
    for wrong in (f"{url}/", f"{url}/path", f"{url}?query", f"{url}\n", "darkroom.example"):
        with pytest.raises(SettingsError, match="DARKROOM_PUBLIC_URL"):
            load(LinkSettings, {"DARKROOM_PUBLIC_URL": wrong})
