"""What gpu-check consists of. main: the command line · steps: what is run · process: one program under a time limit ·
machine: what there is · figures: reading what programs print · side_by_side: Mica and PyTorch in turn · report."""
