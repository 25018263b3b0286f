"""`python -m training.shapes train | evaluate | draw`: makes the model, examines it, and tries it out."""

import argparse
import os
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
MODEL = REPOSITORY / "models" / "shapes"
WORKSHOP = REPOSITORY / ".training" / "shapes"
"""Pictures, latents and unfinished networks: all can be made again."""


def main() -> int:
    arguments = _parser().parse_args()
    # Read at import: transformers would report the absence of torchvision, which nothing here needs.
    os.environ.update(TRANSFORMERS_VERBOSITY="error", HF_HUB_DISABLE_PROGRESS_BARS="1")
    return int(arguments.run(arguments))


def _train(arguments: argparse.Namespace) -> int:
    import torch
    from diffusers import AutoencoderKL

    from training.shapes import model, train_autoencoder, train_denoiser

    torch.set_num_threads(arguments.threads)
    if (WORKSHOP / "vae").exists() and not arguments.afresh:
        _say("Taking the autoencoder that is there; --afresh trains a new one.")
        vae = AutoencoderKL.from_pretrained(WORKSHOP / "vae")
    else:
        vae = train_autoencoder.train(WORKSHOP, 60 * arguments.autoencoder_minutes)
        (WORKSHOP / "latents.pt").unlink(missing_ok=True)
    latents = train_denoiser.latents_of(WORKSHOP, vae)
    train_autoencoder.polish(WORKSHOP, vae, latents, 60 * arguments.polish_minutes)
    trained = train_denoiser.train(
        latents,
        model.tokenizer(),
        60 * arguments.denoiser_minutes,
        on_look=lambda unfinished: model.save(vae, unfinished, WORKSHOP / "unfinished"),
    )
    model.save(vae, trained, arguments.folder)
    _say(f"Saved the model in {arguments.folder}.")
    return 0


def _evaluate(arguments: argparse.Namespace) -> int:
    import msgspec

    from training.shapes import evaluate

    result, pictures, complaints = evaluate.evaluate(
        arguments.folder, arguments.prompts, arguments.guidance, arguments.scheduler
    )
    if arguments.sheet:
        evaluate.contact_sheet(pictures).save(arguments.sheet)
    _say(*complaints)
    _say(msgspec.json.format(msgspec.json.encode(result)).decode())
    return 0


def _draw(arguments: argparse.Namespace) -> int:
    from training.shapes import drawing, evaluate, scenes

    held_out = scenes.split()[1]
    pictures = [drawing.draw(scene, seed) for seed, scene in enumerate(held_out[:100])]
    evaluate.contact_sheet(pictures).save(arguments.sheet)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training.shapes", description="Make and examine the model shapes.")
    commands = parser.add_subparsers(required=True)
    train = commands.add_parser("train", help="train it and save it in FOLDER")
    train.add_argument("--autoencoder-minutes", type=float, default=15)
    train.add_argument("--polish-minutes", type=float, default=10)
    train.add_argument("--denoiser-minutes", type=float, default=55)
    train.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    train.add_argument("--afresh", action="store_true", help="train the autoencoder again too")
    train.set_defaults(run=_train)
    evaluate = commands.add_parser("evaluate", help="render held-out captions and score the pictures")
    evaluate.add_argument("--prompts", type=int, default=500)
    evaluate.add_argument("--guidance", type=float, default=1.5)
    evaluate.add_argument("--scheduler", default="ddim")
    evaluate.add_argument("--sheet", type=Path, help="save the pictures side by side as this file")
    evaluate.set_defaults(run=_evaluate)
    draw = commands.add_parser("draw", help="draw what the model should learn, as a sheet")
    draw.add_argument("sheet", type=Path)
    draw.set_defaults(run=_draw)
    for command in (train, evaluate):
        command.add_argument("--folder", type=Path, default=MODEL, help="the model's folder")
    return parser


def _say(*lines: str) -> None:
    for line in lines:
        print(line)  # noqa: T201 - a command speaks by printing


if __name__ == "__main__":
    sys.exit(main())
