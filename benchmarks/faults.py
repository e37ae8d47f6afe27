"""Fail or kill each command at each of its file operations, and check files and messages.

    python benchmarks/faults.py [--kills 1000] [--commands enroll,forget] [--actions EIO,SIGKILL]

A command of k operations runs k times for each action, with the action at operation 1 to k; kills are repeated until
there are as many as asked for. After each run:

- The state must be that before or after the change; after it, if the command ended with 0.
- A message must not say "nothing was changed" where the change is there.
- Nobody sees a traceback, and nothing hangs.
- The same command again, and then another change, must leave no other files than an undisturbed run leaves.
"""

import argparse
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Hashable
from pathlib import Path

from fault_process import ACTIONS, Outcome, preload_shim, run_forked

CHECKS = ("before", "after", "between", "lost", "leftovers", "tracebacks", "wrong messages")
_MAX_EXAMPLES = 5


class Campaign:
    """The trials of all commands in one temporary folder."""

    def __init__(self, root: Path, kills: int, actions: list[str]) -> None:
        self.root, self.kills, self.actions = root, kills, actions
        self.counts: Counter[tuple[str, str, str]] = Counter()
        self.examples: list[str] = []

    def run(self, command, base: Path, rounds: int) -> int:
        """Try a command with every action at every operation, and return the number of its operations."""
        folder = self.root / "trial"
        before, after, operations, clean = self.reference(command, base, folder)
        for action in self.actions:
            for trial in range(operations * (rounds if action == "SIGKILL" else 1)):
                self.try_once(command, base, folder, action, trial % operations + 1, (before, after, clean))
        return operations

    def reference(self, command, base: Path, folder: Path) -> tuple[Hashable, Hashable, int, set[str]]:
        """Return the states, the number of operations and the files of an undisturbed run."""
        from fault_commands import copy_base

        copy_base(base, folder)
        before = command.state(folder)
        outcome = run_forked(lambda: command.run(folder), folder)
        if outcome.code != 0 or not outcome.operations:
            sys.exit(f"{command.name}: fails undisturbed: {outcome}")
        after = command.state(folder)
        self.settle(command, folder)
        return before, after, outcome.operations, tree(folder)

    def settle(self, command, folder: Path) -> None:
        """Run the command again, and one more change of the gallery, which remove what an earlier one left."""
        from fault_commands import settle

        run_forked(lambda: command.run(folder), folder)
        run_forked(lambda: settle(folder), folder)

    def try_once(
        self, command, base: Path, folder: Path, action: str, at: int, expected: tuple[Hashable, Hashable, set[str]]
    ) -> None:
        """Disturb a command once, and count what was found."""
        from fault_commands import copy_base

        copy_base(base, folder)
        outcome = run_forked(lambda: command.run(folder), folder, action, at)
        self.counts[command.name, action, "tried"] += 1
        found = self.judge(command, folder, outcome, expected)
        self.settle(command, folder)
        if extra := tree(folder) - expected[2]:
            found["leftovers"] = ", ".join(sorted(extra)[:3])
        for check, detail in found.items():
            self.counts[command.name, action, check] += 1
            if check not in ("before", "after"):
                self.examples.append(f"{command.name}, {action} at operation {at}: {check}: {detail}")

    def judge(
        self, command, folder: Path, outcome: Outcome, expected: tuple[Hashable, Hashable, set[str]]
    ) -> dict[str, str]:
        """Return what is found, by check, each with a detail."""
        before, after, _ = expected
        message = outcome.errors.strip().splitlines()[-1:] or [""]
        try:
            state = command.state(folder)
        except Exception as error:
            return {"between": f"cannot be read: {error}"[:300]}
        found: dict[str, str] = {}
        if state == after:
            found["after"] = ""
        elif state == before:
            found["before"] = ""
        else:
            found["between"] = message[0][:300]
        if outcome.code == 0 and state != after:
            found["lost"] = "ended with 0"
        if outcome.has_traceback:
            found["tracebacks"] = f"{outcome.code} {message[0][:300]}"
        is_wrong = before != after and state == after and "nothing was changed" in outcome.errors
        if is_wrong or (outcome.code == 1 and not message[0]):
            found["wrong messages"] = message[0][:300]
        return found


def tree(folder: Path) -> set[str]:
    """Return the files and folders below a folder; what differs between two equal runs is left out of the names."""
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    return {re.sub(r"[0-9a-f]{64}|\d{4}-\d\d-\d\d[-T\d]*|\d{8}[-T]?\d*", "*", name) for name in names}


def print_rows(campaign: Campaign, name: str, operations: int, names: list[str]) -> None:
    """Print a row for each action: the sums of the named commands."""
    for action in campaign.actions:
        cells = [sum(campaign.counts[each, action, check] for each in names) for check in ("tried", *CHECKS)]
        print(f"| {name} | {operations} | {action} | {' | '.join(map(str, cells))} |", flush=True)


def main() -> None:
    """Run the campaign; exit with 1 if something was found that must not be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000, help="least number of kills in all")
    parser.add_argument("--commands", default="", help="names, separated by commas; all by default")
    parser.add_argument("--actions", default="EIO,ENOSPC,SIGKILL", help="of EIO, ENOSPC, SIGKILL")
    arguments = parser.parse_args()
    actions = [action for action in arguments.actions.split(",") if action in ACTIONS]
    preload_shim()
    from fault_commands import COMMANDS, TRAINING, prepare, prepare_training, use_coded_predictor

    use_coded_predictor()
    wanted = set(filter(None, arguments.commands.split(",")))
    groups = [(COMMANDS, prepare), (TRAINING, prepare_training)]
    operations: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name).resolve()
        campaign = Campaign(root, arguments.kills, actions)
        chosen = [(command, make) for commands, make in groups for command in commands]
        chosen = [(command, make) for command, make in chosen if not wanted or command.name in wanted]
        for make in dict.fromkeys(make for _, make in chosen):
            (root / make.__name__).mkdir()
            outcome = run_forked(lambda make=make: make(root / make.__name__), root)
            if outcome.code != 0:
                sys.exit(f"{make.__name__}: {outcome.errors}")
        print(f"| command | file operations | injected | tried | {' | '.join(CHECKS)} |")
        print("|---|" + "---|" * (3 + len(CHECKS)))
        for command, make in chosen:
            base = root / make.__name__
            count = campaign.reference(command, base, root / "trial")[2]
            rounds = max(1, -(-arguments.kills // (len(chosen) * count)))
            operations[command.name] = campaign.run(command, base, rounds)
            print_rows(campaign, command.name, operations[command.name], [command.name])
    print_rows(campaign, "**all**", sum(operations.values()), list(operations))
    for line in campaign.examples[:_MAX_EXAMPLES] if len(campaign.examples) < 50 else campaign.examples[:20]:
        print(line, file=sys.stderr)
    bad = sum(campaign.counts[key] for key in campaign.counts if key[2] not in ("tried", "before", "after"))
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
