"""What agents may do: effective policies and their findings. Pure."""
