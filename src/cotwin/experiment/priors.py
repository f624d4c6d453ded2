"""From settings to priors on the physical model's unknowns."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from cotwin.estimation import priors
from cotwin.experiment.prior_settings import (
    Gaussian,
    GaussianField,
    LogGaussianField,
    LogNormal,
    Pooled,
    Prior,
    Smooth,
    TotalVariation,
)
from cotwin.layout import Layout
from cotwin.parameters import Elementwise, estimated, estimates
from cotwin.stepper import Stepper


def build_priors(settings: Mapping[str, Prior], stepper: Stepper) -> dict[str, priors.Prior]:
    """By the names of the unknowns, as the table of estimates shows them.

    Raises ValueError for a name that is not among them, and for a prior that does not fit where its unknown starts.
    """
    own = estimates(stepper)
    for name in settings:
        if name not in own:
            have = f"the physical model's unknowns are {', '.join(own)}" if own else "no parameter is unknown"
            raise ValueError(f"priors: there is no unknown {name!r}; {have}.")
    paths = estimated(stepper)
    built = {}
    for name, one in settings.items():
        parameter = stepper.get_submodule(paths[name])
        try:
            built[name] = _prior(one, stepper.solver_layout, parameter)
        except ValueError as error:
            raise ValueError(f"priors.{name}: {error}") from error
    for name, prior in built.items():
        prior.check_start(name, own[name].double())
    return {name: prior.to(stepper.device) for name, prior in built.items()}


def _prior(settings: Prior, layout: Layout, parameter: nn.Module) -> priors.Prior:
    match settings:
        case Pooled():
            if not isinstance(parameter, Elementwise):
                raise ValueError("pooled is for a number with a value for each group, per: trajectory.")
            return priors.Pooled(parameter, settings.scale)
        case Gaussian():
            return priors.Gaussian(settings.mean, settings.deviation)
        case LogNormal():
            return priors.LogNormal(settings.median, settings.factor)
        case Smooth():
            return priors.Smooth(layout, settings.change, settings.length)
        case TotalVariation():
            return priors.TotalVariation(layout, settings.change, settings.length)
        case GaussianField():
            return priors.GaussianField(layout, settings.mean, settings.deviation, settings.length)
        case LogGaussianField():
            return priors.LogGaussianField(layout, settings.median, settings.factor, settings.length)
