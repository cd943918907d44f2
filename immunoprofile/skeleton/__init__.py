"""From a folder of FCS files, or a FlowJo workspace, to a study folder: what the files tell, and what is left."""

from __future__ import annotations

from immunoprofile.skeleton.skeleton import Skeleton, study_skeleton

__all__ = ["Skeleton", "study_skeleton"]
