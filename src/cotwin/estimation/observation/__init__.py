"""What is seen of rollouts: linear maps of states to values, differentiable, each value with its place in time."""

from cotwin.estimation.observation.boxes import Boxes
from cotwin.estimation.observation.grid import Grid
from cotwin.estimation.observation.instants import Instants
from cotwin.estimation.observation.joined import Joined
from cotwin.estimation.observation.observation import Observation
from cotwin.estimation.observation.points import Points, face_offsets
from cotwin.estimation.observation.regions import Regions, box_region
from cotwin.estimation.observation.sensed import sensed
from cotwin.estimation.observation.shifted import Shifted, going_on, in_between
from cotwin.estimation.observation.until import Until
from cotwin.estimation.observation.weighted import Weighted

__all__ = [
    "Boxes",
    "Grid",
    "Instants",
    "Joined",
    "Observation",
    "Points",
    "Regions",
    "Shifted",
    "Until",
    "Weighted",
    "box_region",
    "face_offsets",
    "going_on",
    "in_between",
    "sensed",
]
