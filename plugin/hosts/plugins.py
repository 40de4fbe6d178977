"""The table of plug-ins for host programs, as `mattecast hosts` lists them."""

from __future__ import annotations

from mattecast.hosts.blender.plugin import PLUGIN as BLENDER
from mattecast.hosts.gstreamer.plugin import PLUGIN as GSTREAMER
from mattecast.hosts.obs.plugin import PLUGIN as OBS
from mattecast.hosts.plugin import Plugin
from mattecast.hosts.resolve.plugin import PLUGIN as RESOLVE

PLUGINS: dict[str, Plugin] = {plugin.name: plugin for plugin in (OBS, BLENDER, RESOLVE, GSTREAMER)}
