"""Webmail and console."""
