"""What training takes: parameters, floating-point operations, memory, time."""
