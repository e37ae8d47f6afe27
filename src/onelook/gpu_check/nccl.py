"""Program of the processes that `check_nccl` launches: sum and gather tensors over the cards."""

import sys

import torch

from onelook.distributed import all_gather, all_reduce_sum, process_group, rank, world_size


def main() -> None:
    """Exit with a message unless the results are right."""
    with process_group("cuda") as device:
        ranks = torch.arange(world_size(), device=device)
        own = torch.full((rank() + 1,), float(rank()), device=device)  # of another length in each process
        total, rows = all_reduce_sum(own.sum()), all_gather(own)
        if total.item() != (ranks * (ranks + 1)).sum().item() or not rows.equal(
            ranks.repeat_interleave(ranks + 1).float()
        ):
            sys.exit(f"rank {rank()}: sum {total.item()}, rows {rows.tolist()}")


if __name__ == "__main__":
    main()
