"""Training runs with one planted fault each, healthy controls and traps: what the doctor is measured on."""
