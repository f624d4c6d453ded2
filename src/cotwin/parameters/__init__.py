"""Unknowns of a physical model: in natural units for people, unconstrained for the optimiser.

`parameter.py` says what a parameter is; `numbers.py` has those that are numbers by themselves, `fields.py` those that
are made of others: vectors, and fields on a grid; `points.py` sources at points; `outside.py` what is given
with each trajectory; `differing.py` unknowns that differ between them, or in time.
"""

from cotwin.parameters.differing import Grouped, InTime
from cotwin.parameters.fields import CoarseField, GaussianSum, Vector, ZeroMean, as_vector
from cotwin.parameters.numbers import Bounded, Known, Positive, Real, Simplex, Values
from cotwin.parameters.outside import Condition, Flowing, Input, Outside, largest
from cotwin.parameters.parameter import Elementwise, Parameter, Unknown, estimated, estimates
from cotwin.parameters.points import PointSources, Source, SpreadSources
from cotwin.parameters.walls import Wall, Walls

__all__ = [
    "Bounded",
    "CoarseField",
    "Condition",
    "Elementwise",
    "Flowing",
    "GaussianSum",
    "Grouped",
    "InTime",
    "Input",
    "Known",
    "Outside",
    "Parameter",
    "PointSources",
    "Positive",
    "Real",
    "Simplex",
    "Source",
    "SpreadSources",
    "Unknown",
    "Values",
    "Vector",
    "Wall",
    "Walls",
    "ZeroMean",
    "as_vector",
    "estimated",
    "estimates",
    "largest",
]
