"""Which part helps: ablation file -> cells -> runs -> table and report."""
