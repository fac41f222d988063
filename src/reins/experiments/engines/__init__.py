"""Engines: how groups of seeds are started and watched."""
