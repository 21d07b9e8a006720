"""Tests of the shared mathematics of evidence."""
