"""Lyapunov spectra of maps, recurrent cells and flows: how fast nearby states part."""
