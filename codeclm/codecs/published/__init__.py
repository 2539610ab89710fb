"""Codecs of others: one adapter a file, which imports its library when it loads."""
