"""Gen3D in Blender: panels, operators and the worker's client. Blender calls `register` and `unregister`."""

from .registration import register, unregister

__all__ = ["register", "unregister"]
