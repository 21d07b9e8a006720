"""What happens to a call of an agent, stage by stage?"""
