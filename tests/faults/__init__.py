"""Faults of processes, disks and people while results are written: the long modes and their small versions."""
