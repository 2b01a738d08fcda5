"""What is computed: formulas, operations, reductions and rules; knows no code, arrays or machines."""
