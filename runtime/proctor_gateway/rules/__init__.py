"""What is a task, a call, a refusal, and what follows from them? Pure: no input, no output, no clock."""
