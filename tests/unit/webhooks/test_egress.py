"""The egress proxy's settings: the service starts behind one only if the operator vouches for it."""

import os
import subprocess
import sys

import pytest

from chassis.service import BAD_SETTINGS_EXIT_CODE
from chassis.settings import SettingsError, load
from webhooks.egress import Proxy, choose_proxy
from webhooks.settings import EgressSettings

URL = "DARKROOM_WEBHOOKS_EGRESS_PROXY"
STATEMENT = "DARKROOM_WEBHOOKS_EGRESS_PROXY_CHECKS_ADDRESSES"
SECRET_URL = "http://darkroom:pa55w0rd@proxy.internal:3128"


def test_there_is_no_proxy_by_default() -> None:
    """Variables that other clients read change nothing."""
    environ = {"HTTPS_PROXY": SECRET_URL, "https_proxy": SECRET_URL, "ALL_PROXY": SECRET_URL, URL: "", STATEMENT: ""}
    assert load(EgressSettings, environ).proxy is None
    assert load(EgressSettings, environ | {STATEMENT: "false"}).proxy is None


def test_a_proxy_is_used_with_the_statement() -> None:
    """Host, port and credentials come from its URL."""
    proxy = load(EgressSettings, {URL: SECRET_URL, STATEMENT: "true"}).proxy
    assert proxy == Proxy("proxy.internal", 3128, "Basic ZGFya3Jvb206cGE1NXcwcmQ=")
    assert proxy is not None
    assert proxy.address == "proxy.internal:3128"


@pytest.mark.parametrize(
    ("environ", "advice"),
    [
        ({URL: SECRET_URL}, f"then set {STATEMENT}=true; or remove the proxy"),
        ({URL: SECRET_URL, STATEMENT: "false"}, f"then set {STATEMENT}=true; or remove the proxy"),
        ({STATEMENT: "true"}, f"{STATEMENT}: is set without {URL}. Set the proxy's URL, or remove this setting"),
    ],
)
def test_one_without_the_other_is_a_mistake(environ: dict[str, str], advice: str) -> None:
    """The message says what to do, and does not quote the URL."""
    with pytest.raises(SettingsError) as raised:
        load(EgressSettings, environ)
    assert advice in str(raised.value)
    assert "pa55w0rd" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://10.0.0.7:3128", Proxy("10.0.0.7", 3128)),
        ("http://proxy:1/", Proxy("proxy", 1)),
        ("http://[fd00::1]:8080", Proxy("fd00::1", 8080)),
        ("http://a:b@proxy:1", Proxy("proxy", 1, "Basic YTpi")),
        ("http://a@proxy:1", Proxy("proxy", 1, "Basic YTo=")),
        ("http://a:%C3%A4%3A%0A@proxy:1", Proxy("proxy", 1, "Basic YTrDpDoK")),
    ],
)
def test_urls_of_proxies(url: str, expected: Proxy) -> None:
    """User and password are percent-encoded in UTF-8, and are bytes of a Base64 text afterwards."""
    assert choose_proxy(url, checks_addresses=True) == expected


def test_the_address_of_an_ipv6_proxy_has_brackets() -> None:
    """As in its URL."""
    assert Proxy("fd00::1", 8080).address == "[fd00::1]:8080"


@pytest.mark.parametrize(
    "url",
    [
        "https://s3cret:s3cret@proxy:1", "socks5://s3cret@proxy:1", "s3cret:3128", "http://s3cret", "http://s3cret:",
        "http://s3cret:0", "http://s3cret:65536", "http://s3cret:1/path", "http://s3cret:1?a", "http://s3cret:1#a",
        "http://a:s3cret@b:1@proxy:1", "http://:s3cret@proxy:1", "http:// s3cret:1", "http://s3cret:1\r\nx: y",
        "http://a:s3 cret@proxy:1",
    ],
)  # fmt: skip
def test_other_urls_are_mistakes(url: str) -> None:
    """The message has the form that is wanted, and nothing of what was given."""
    with pytest.raises(SettingsError, match=f"{URL}: must be http://host:port or") as raised:
        choose_proxy(url, checks_addresses=True)
    assert "s3cret" not in str(raised.value)


def test_credentials_are_not_shown() -> None:
    """What is logged of a proxy has none."""
    proxy = choose_proxy(SECRET_URL, checks_addresses=True)
    assert proxy is not None
    assert "Basic" not in repr(proxy)
    assert proxy.address == "proxy.internal:3128"


def test_the_service_does_not_start() -> None:
    """The exit code is that of wrong settings, which supervisors do not restart on."""
    ended = subprocess.run(
        [sys.executable, "-m", "webhooks"],
        env={**os.environ, URL: SECRET_URL},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == BAD_SETTINGS_EXIT_CODE
    assert f"then set {STATEMENT}=true" in ended.stderr
    assert "pa55w0rd" not in ended.stderr
