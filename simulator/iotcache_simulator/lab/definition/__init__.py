"""What a scenario file may say: steps, actions, expectations, metrics; read and checked."""
