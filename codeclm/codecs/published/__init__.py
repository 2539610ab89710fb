"""Codecs that others trained, behind our interface: one file each, weights from the hub."""
