"""Lets the folders of these tests import the helpers that lie here."""
