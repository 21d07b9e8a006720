"""The words: the kinds of proctor.dev/v1alpha1, their names and digests. Imports nothing of the other packages."""
