"""How shells ask for completions, where click does not hear them: `--option=word` in one word, and in three of bash's.

Imported when a shell asks.
"""

from __future__ import annotations

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
)

__all__ = ["heard"]


def heard(shell: type[ShellComplete]) -> type[ShellComplete]:
    """The same, that hears them."""

    class Hears(shell):  # type: ignore[valid-type, misc]
        def get_completion_args(self) -> tuple[list[str], str]:
            words, incomplete = super().get_completion_args()
            before = ["", *words]
            return [word for last, word in zip(before, words, strict=False) if word != "=" or last[:2] != "--"], incomplete

        def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
            found: list[CompletionItem] = super().get_completions(args, incomplete)
            name, equals, _ = incomplete.partition("=")
            if not equals or not name.startswith("--"):
                return found
            # the shell compares with the whole word
            return [
                CompletionItem(f"{name}={item.value}", item.type, item.help) if item.type == "plain" else item for item in found
            ]

    return Hears


for each in (BashComplete, ZshComplete, FishComplete):
    add_completion_class(heard(each), each.name)
