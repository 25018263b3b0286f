"""`darkroom models list | verify | pull | import`."""

import click
import msgspec

from chassis.settings import CatalogueSettings, SettingsError, load
from darkroom.console import CommandError, json_option, print_fields, print_json, print_table
from darkroom_contracts.models import Catalogue, CatalogueError, Model, UnknownModelError
from gpu_consumer.commands.models_import import import_
from gpu_consumer.commands.refusal import refuse
from gpu_consumer.models.folders import Verdict, first_refusal, folder_of, verify
from gpu_consumer.protocol import Device
from gpu_consumer.startup import ExitCode, StartupError


class ModelsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of `darkroom models`, a subset of the GPU consumer's."""

    catalogue: CatalogueSettings
    device: Device = "cuda"
    """The worker's device, which decides between weights where a folder contains both variants."""


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `darkroom models list`."""

    model: str
    pipeline: str
    folder: str
    is_there: bool
    """Whether the folder exists; `verify` checks its content."""
    source: str | None
    """Hub and revision."""
    sizes: tuple[str, ...]


@click.group()
def models() -> None:
    """List, check, download and import the catalogue's models."""


models.add_command(import_)


@models.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the models of the catalogue."""
    settings, catalogue = _opened()
    listed = [_listed(model, settings) for model in catalogue.models]
    if as_json:
        print_json(listed)
        return
    print_table(
        ("model", "class", "sizes", "folder", "there", "source"),
        ((m.model, m.pipeline, _sizes(m), m.folder, "yes" if m.is_there else "no", m.source) for m in listed),
    )


@models.command("verify")
@click.argument("name", required=False)
@json_option
@click.pass_context
def verify_(context: click.Context, name: str | None, as_json: bool) -> None:
    """Check the folder of the model NAME, or of all models, as a worker does when it starts.

    Exits with a worker's exit code for the first model that it would refuse, or 0.
    """
    settings, catalogue = _opened()
    chosen = catalogue.models if name is None else (_named(catalogue, name),)
    verdicts = [verify(settings.catalogue.models_home, model, settings.device) for model in chosen]
    if as_json:
        print_json(verdicts)
    else:
        print_table(("model", "verdict", "weights", "revision", "manifest sha256"), map(_row, verdicts))
    context.exit(first_refusal(verdicts) or 0)


@models.command()
@click.argument("name")
@json_option
def pull(name: str, as_json: bool) -> None:
    """Download the model NAME from its hub into its folder.

    Downloads safetensors, configurations and vocabularies only. The folder is put in place after the files have passed
    a worker's checks.
    """
    from gpu_consumer.models import pull as pulling  # the hub's client takes a second to import
    from gpu_consumer.models.hub import HubError

    settings, catalogue = _opened()
    model = _named(catalogue, name)
    folder = folder_of(settings.catalogue.models_home, model)
    try:
        pulled = pulling.pull(model, folder, settings.device)
    except (pulling.PullError, HubError) as error:
        raise CommandError(str(error)) from error
    except StartupError as refusal:
        refuse(refusal.message, refusal.exit_code)
    except OSError as error:
        raise CommandError(f"The model can't be written to {error.filename}: {error.strerror}.") from error
    if as_json:
        print_json({"model": model.name, "is_new": pulled.is_new} | msgspec.to_builtins(pulled.folder, enc_hook=str))
        return
    click.echo(f"{'Pulled' if pulled.is_new else 'Found'} {model.name} in {folder}.")
    print_fields([("revision", pulled.folder.revision), ("manifest_sha256", pulled.folder.manifest_sha256)])
    if model.manifest_sha256 is None:
        click.echo("Add manifest_sha256 to the model's catalogue entry, so that workers load exactly these files.")


def _opened() -> tuple[ModelsSettings, Catalogue]:
    try:
        settings = load(ModelsSettings)
        return settings, settings.catalogue.load()
    except (SettingsError, CatalogueError) as error:
        refuse(str(error), ExitCode.SETTINGS)


def _named(catalogue: Catalogue, name: str) -> Model:
    try:
        return catalogue.find(name)
    except UnknownModelError as error:
        raise CommandError(f"The model {error}.") from error


def _listed(model: Model, settings: ModelsSettings) -> Listed:
    folder = folder_of(settings.catalogue.models_home, model)
    return Listed(
        model=model.name,
        pipeline=model.pipeline,
        folder=str(folder),
        is_there=folder.is_dir(),
        source=f"{model.hub}@{model.revision}" if model.hub else None,
        sizes=model.sizes,
    )


def _sizes(listed: Listed) -> str | None:
    return " ".join(listed.sizes) or None


def _row(verdict: Verdict) -> tuple[str | None, ...]:
    weights = None if verdict.code else verdict.variant or "plain"
    return (verdict.model, verdict.message or "good", weights, verdict.revision, verdict.manifest_sha256)
