"""Check of a CUDA card: that this machine computes what the CPU computes, and how fast."""
