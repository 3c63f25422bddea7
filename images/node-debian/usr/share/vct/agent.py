"""Starts the node agent. Not a module of vct's: the image has only those that the agent needs."""

import gc
import sys
from importlib import import_module

gc.disable()  # nothing that is loaded now ever goes: a tenth of the start
sys.path.insert(0, "/usr/share/vct/modules")
import_module("vct.agent.later").load_later()
main = import_module("vct.agent.main").main
gc.freeze()
gc.enable()
main()
