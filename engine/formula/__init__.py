"""What is computed: formulas, operations, reductions, rules; no code, arrays or machines."""
