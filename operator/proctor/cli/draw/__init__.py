"""Views as things that rich can print. No decision is taken here but about looks."""
