"""The catalogue as clients see it: names and bounds, but not the paths of the weights."""

from darkroom_contracts.api import AllowedSize, ModelList, ModelView, NumberRange, WholeNumberRange
from darkroom_contracts.models import Catalogue, Model, Range


def list_models(catalogue: Catalogue) -> ModelList:
    """Return the public view of all models."""
    return ModelList([_view(model, default=model is catalogue.models[0]) for model in catalogue.models])


def _view(model: Model, *, default: bool) -> ModelView:
    return ModelView(
        name=model.name,
        description=model.description,
        default=default,
        schedulers=model.schedulers,
        width=_whole(model.width),
        height=_whole(model.height),
        size_multiple=model.size_multiple,
        num_inference_steps=_whole(model.steps),
        guidance_scale=NumberRange(
            model.guidance_scale.minimum, model.guidance_scale.maximum, model.guidance_scale.default
        ),
        max_images=model.max_images,
        max_cost=model.max_cost,
        pipeline=model.pipeline,
        sizes=[AllowedSize(width, height) for width, height in model.picture_sizes],
        safety_checker=model.safety_checker,
    )


def _whole(bounds: Range) -> WholeNumberRange:
    return WholeNumberRange(int(bounds.minimum), int(bounds.maximum), int(bounds.default))
