"""The command `darkroom models import`."""

from pathlib import Path
from typing import Any

import click
import msgspec

from chassis.settings import CatalogueSettings, SettingsError, load
from darkroom.console import CommandError, json_option, print_fields, print_json
from darkroom_contracts.models import CatalogueError, Dtype
from gpu_consumer.commands.refusal import refuse
from gpu_consumer.models import entries, importing
from gpu_consumer.models.families import PredictionType
from gpu_consumer.models.scratch import ScratchBusyError
from gpu_consumer.startup import ExitCode, StartupError

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


class ImportSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of `darkroom models import`, a subset of the GPU consumer's."""

    catalogue: CatalogueSettings


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", required=True, help="Name of the model in jobs: lower-case letters, digits and -.")
@click.option("--path", help="The model's folder, relative to DARKROOM_MODELS_HOME. Default: the name.")
@click.option("--description", default="", help="Description of the model in GET /v1/models.")
@click.option("--dtype", type=click.Choice(["float16", "bfloat16", "float32"]), default="float16", show_default=True)
@click.option(
    "--prediction-type",
    type=click.Choice(["epsilon", "v_prediction"]),
    help="The UNet's prediction type; required for Stable Diffusion 2.x if the file does not declare it.",
)
@click.option(
    "--tokenizer",
    type=click.Path(path_type=Path),
    help="Source of CLIP's vocabulary: a folder with a tokenizer, or the wheel of open-clip-torch.",
)
@click.option(
    "--config",
    type=_FOLDER,
    help="A folder in diffusers' layout with the model's configurations, if they differ from the published ones.",
)
@click.option(
    "--catalogue",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A model catalogue file to add the entry to.",
)
@json_option
def import_(
    file: Path,
    name: str,
    path: str | None,
    description: str,
    dtype: Dtype,
    prediction_type: PredictionType | None,
    tokenizer: Path | None,
    config: Path | None,
    catalogue: Path | None,
    as_json: bool,
) -> None:
    """Convert the single-file checkpoint FILE into a model folder and a catalogue entry.

    Takes complete checkpoints of Stable Diffusion 1.x, 2.x and SDXL as safetensors. The folder is put in place after it
    has passed a worker's checks.
    """
    request = importing.Request(
        file=file,
        name=name,
        path=path or name,
        folder=_folder(path or name),
        description=description,
        dtype=dtype,
        prediction_type=prediction_type,
        tokenizer=tokenizer,
        config=config,
    )
    imported, is_added = _import(request, catalogue)
    if as_json:
        print_json(_as_json(request, imported) | {"catalogue": catalogue and str(catalogue), "is_added": is_added})
        return
    click.echo(f"{'Imported' if imported.is_new else 'Found'} {name} in {request.folder}.")
    print_fields([("revision", imported.revision), ("manifest_sha256", imported.entry.manifest_sha256)])
    click.echo(_catalogue_line(catalogue, is_added) + "\n\n" + entries.to_toml(imported.entry), nl=False)


def _folder(path: str) -> Path:
    try:
        settings = load(ImportSettings)
    except SettingsError as error:
        refuse(str(error), ExitCode.SETTINGS)
    return (Path(settings.catalogue.models_home) / path).absolute()


def _import(request: importing.Request, catalogue: Path | None) -> tuple[importing.Imported, bool]:
    """Return the import, and whether its entry was added to the catalogue."""
    try:
        planned = importing.plan(request)
        if catalogue is not None:
            entries.check_addable(catalogue, planned.entry)
        imported = importing.carry_out(request, planned, _report)
        return imported, catalogue is not None and entries.add(catalogue, imported.entry)
    except StartupError as refusal:
        refuse(refusal.message, refusal.exit_code)
    except CatalogueError as error:
        refuse(str(error), ExitCode.SETTINGS)
    except (importing.ImportingError, ScratchBusyError) as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        raise CommandError(f"The model can't be written to {error.filename}: {error.strerror}.") from error


def _report(step: str) -> None:
    click.echo(f"{step[0].upper()}{step[1:]} ...", err=True)


def _as_json(request: importing.Request, imported: importing.Imported) -> dict[str, Any]:
    return {
        "model": request.name,
        "is_new": imported.is_new,
        "folder": str(request.folder),
        "revision": imported.revision,
        "manifest_sha256": imported.entry.manifest_sha256,
        "entry": imported.entry,
        "toml": entries.to_toml(imported.entry),
    }


def _catalogue_line(catalogue: Path | None, is_added: bool) -> str:
    if catalogue is None:
        return "Add this entry to the model catalogue:"
    return f"{'Added to' if is_added else 'Already in'} {catalogue}:"
