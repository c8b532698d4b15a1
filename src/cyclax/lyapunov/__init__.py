"""Lyapunov spectra of maps, recurrent cells and flows: how fast nearby states part."""

from cyclax.lyapunov.frames import AbstractOrthonormalization

__all__ = ["AbstractOrthonormalization"]
