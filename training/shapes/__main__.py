"""`python -m training.shapes train | evaluate | draw`: the commands that train and evaluate the model."""

import argparse
import os
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
MODEL = REPOSITORY / "models" / "shapes"
WORK_FOLDER = REPOSITORY / ".training" / "shapes"
"""Intermediate results: pictures, latents and unfinished networks. All can be made again."""


def main() -> int:
    arguments = _parser().parse_args()
    # Read at import. Otherwise transformers warns about the absence of torchvision, which is not needed.
    os.environ.update(TRANSFORMERS_VERBOSITY="error", HF_HUB_DISABLE_PROGRESS_BARS="1")
    return int(arguments.run(arguments))


def _train(arguments: argparse.Namespace) -> int:
    import torch
    from diffusers import AutoencoderKL

    from training.shapes import model, train_autoencoder, train_denoiser

    torch.set_num_threads(arguments.threads)
    if (WORK_FOLDER / "vae").exists() and not arguments.afresh:
        _print("Using the existing autoencoder; --afresh trains a new one.")
        vae = AutoencoderKL.from_pretrained(WORK_FOLDER / "vae")
    else:
        vae = train_autoencoder.train(WORK_FOLDER, 60 * arguments.autoencoder_minutes)
        (WORK_FOLDER / "latents.pt").unlink(missing_ok=True)
    latents = train_denoiser.latents_of(WORK_FOLDER, vae)
    train_autoencoder.polish(WORK_FOLDER, vae, latents, 60 * arguments.polish_minutes)
    trained = train_denoiser.train(
        latents,
        model.tokenizer(),
        60 * arguments.denoiser_minutes,
        on_checkpoint=lambda unfinished: model.save(vae, unfinished, WORK_FOLDER / "unfinished"),
    )
    model.save(vae, trained, arguments.folder)
    _print(f"Saved the model in {arguments.folder}.")
    return 0


def _evaluate(arguments: argparse.Namespace) -> int:
    import msgspec

    from training.shapes import evaluate

    result, pictures, mistakes = evaluate.evaluate(
        arguments.folder, arguments.prompts, arguments.guidance, arguments.scheduler
    )
    if arguments.sheet:
        evaluate.contact_sheet(pictures).save(arguments.sheet)
    _print(*mistakes)
    _print(msgspec.json.format(msgspec.json.encode(result)).decode())
    return 0


def _draw(arguments: argparse.Namespace) -> int:
    from training.shapes import drawing, evaluate, scenes

    held_out = scenes.split()[1]
    pictures = [drawing.draw(scene, seed) for seed, scene in enumerate(held_out[:100])]
    evaluate.contact_sheet(pictures).save(arguments.sheet)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.shapes", description="Train and evaluate the model shapes."
    )
    commands = parser.add_subparsers(required=True)
    train = commands.add_parser("train", help="train the model and save it in FOLDER")
    train.add_argument("--autoencoder-minutes", type=float, default=15)
    train.add_argument("--polish-minutes", type=float, default=10)
    train.add_argument("--denoiser-minutes", type=float, default=55)
    train.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    train.add_argument("--afresh", action="store_true", help="train a new autoencoder too")
    train.set_defaults(run=_train)
    evaluate = commands.add_parser("evaluate", help="render held-out captions and score the pictures")
    evaluate.add_argument("--prompts", type=int, default=500)
    evaluate.add_argument("--guidance", type=float, default=1.5)
    evaluate.add_argument("--scheduler", default="ddim")
    evaluate.add_argument("--sheet", type=Path, help="save the pictures as a contact sheet in this file")
    evaluate.set_defaults(run=_evaluate)
    draw = commands.add_parser("draw", help="draw scenes by program, as a contact sheet of reference pictures")
    draw.add_argument("sheet", type=Path)
    draw.set_defaults(run=_draw)
    for command in (train, evaluate):
        command.add_argument("--folder", type=Path, default=MODEL, help="the model's folder")
    return parser


def _print(*lines: str) -> None:
    for line in lines:
        print(line)  # noqa: T201 - a command's output


if __name__ == "__main__":
    sys.exit(main())
