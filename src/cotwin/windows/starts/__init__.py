"""Where generated windows start: states that the teacher rolls out from.

`real.py` takes real states, as they are or shifted; `simulated.py` has the teacher make states, from random initial
ones like the real ones: of waves (`random_waves.py`, in the `series.py` that the boundaries ask for), or of the real
ones' values (`rearranged.py`).
"""

from cotwin.windows.starts.real import perturbed, real
from cotwin.windows.starts.sampling import Initial, Starts
from cotwin.windows.starts.simulated import rearranged, simulated

__all__ = ["Initial", "Starts", "perturbed", "real", "rearranged", "simulated"]
