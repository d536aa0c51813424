"""What a run came to: figures, conditions on them, the verdict, JSON and JUnit."""
