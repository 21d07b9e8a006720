"""The steps from an older schema to the present one."""
