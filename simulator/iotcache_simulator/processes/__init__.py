"""Child processes: started, watched and ended in one place; none outlives its parent."""
