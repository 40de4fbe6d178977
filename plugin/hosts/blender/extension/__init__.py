"""The extension of Blender, 4.2 and newer: strips, images and planes get their mattes.

The extension starts the program `mattecast` and imports the standard library only: Blender's Python
need not have mattecast. What needs no Blender stands in modules that do not import bpy.
"""


def register() -> None:
    """Blender has enabled the extension."""
    from . import registration  # the modules beside this one are used without bpy too

    registration.register()


def unregister() -> None:
    """Blender has disabled the extension, or ends."""
    from . import registration

    registration.unregister()
