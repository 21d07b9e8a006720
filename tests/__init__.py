"""The tests. A package, so that suites can use one another's parts."""
