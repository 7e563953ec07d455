"""The group of all commands: a plan file in a command's place means `predict`."""

from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path
from typing import NoReturn

import click
from typing_extensions import override

DEFAULT = "predict"
_NOT_BUILT = ("search", "compare")
# Words for a command that people use elsewhere.
_SYNONYMS = {"sweep": "scale", "lint": "check", "simulate": "predict", "show": "list"}


class PlanFirst(click.Group):
    """A group whose command is `predict` where a plan file stands in its place."""

    @override
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Insert `predict` before a plan file or one of its options."""
        own = {name for p in self.get_params(ctx) for name in p.opts}
        if args and args[0] not in self.commands and args[0] not in own:
            if args[0].startswith("-") or _is_file_name(args[0]):
                args.insert(0, DEFAULT)
            else:
                self.fail_on(ctx, args[0])
        return super().parse_args(ctx, args)

    def fail_on(self, ctx: click.Context, word: str) -> NoReturn:
        """Say what `word` could have been."""
        if word in _NOT_BUILT:
            built = ", ".join(sorted(self.commands))
            ctx.fail(f"'{word}' is not built yet; built are: {built}")
        known = {**{name: name for name in self.commands}, **_SYNONYMS}
        near = get_close_matches(word, known, n=1)
        guess = f"; did you mean '{known[near[0]]}'?" if near else ""
        ctx.fail(f"'{word}' is neither a plan file nor a command{guess}")

    @override
    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show the two ways to call."""
        formatter.write_usage(ctx.command_path, "PLAN.toml [OPTIONS]")
        formatter.write_usage(ctx.command_path, "COMMAND [ARGS]...", prefix="       ")


def _is_file_name(word: str) -> bool:
    return word.endswith(".toml") or os.sep in word or Path(word).exists()
