"""Synthetic models: neural surrogates that step the state forward."""

from cotwin.networks.convolution import ResidualConvNet
from cotwin.networks.ensemble import Ensemble
from cotwin.networks.fno import FourierOperator
from cotwin.networks.positions import WithPositions
from cotwin.networks.surrogate import Surrogate
from cotwin.networks.told import Told
from cotwin.networks.unet import UNet

__all__ = ["Ensemble", "FourierOperator", "ResidualConvNet", "Surrogate", "Told", "UNet", "WithPositions"]
