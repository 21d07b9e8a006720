"""What does this process keep at hand, and how does it stay true?"""
