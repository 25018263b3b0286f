import re
from pathlib import Path

import httpx2
import pytest

import darkroom
from tests.unit.client.answers import PICTURE, Script, job, output, reply

README = Path(__file__).parents[3] / "client" / "README.md"


def test_the_example_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python example of the client's README runs as it is and saves the picture."""
    example = re.search(r"```python\n(.+?)```", README.read_text(), re.DOTALL)
    assert example is not None
    done = reply(job("succeeded", outputs=[output()]))
    script = Script(reply(job(), 202), done, httpx2.Response(200, content=PICTURE))
    monkeypatch.setattr(darkroom, "Client", lambda url, key: script.client())
    monkeypatch.chdir(tmp_path)
    exec(example[1])
    assert (tmp_path / "lighthouse-0.png").read_bytes() == PICTURE
