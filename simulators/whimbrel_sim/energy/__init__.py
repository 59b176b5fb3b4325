"""What sending policies cost in joules, against a computed lower bound."""
