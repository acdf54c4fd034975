"""What flags and keys of a TOML file say: of the type of their field, or refused by name.

cyclopts tells which argument a word belongs to. What the word means is told here, since cyclopts
rounds 1.5 to 2 and takes the text of a file's value for the value.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, get_args, get_origin

from cyclopts import (
    UNSET,
    App,
    Argument,
    ArgumentCollection,
    CycloptsError,
    Token,
    UnknownOptionError,
)

from untrained.locations import Location
from untrained.settings import kinds_of, typed

Words = Sequence[Token] | Mapping[str, Any]
"The words of an argument; of one with keys, those of each key."

WHOLE = re.compile(r"[+-]?[0-9]{1,99}")  # Python reads at most 4300 digits
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
QUOTED = re.compile(r'"(.*)"', re.DOTALL)


def read(hint: Any, words: Words) -> Any:
    """The value of an argument: cyclopts' converter of every type.

    Raises:
        CycloptsError: the words are of another type than `hint`.
    """
    try:
        return _read(hint, words)
    except ValueError as error:
        raise CycloptsError(msg=str(error)) from error


def _read(hint: Any, words: Words) -> Any:
    if isinstance(words, Mapping):
        return _read_table(hint, words)
    if words[0].implicit_value is not UNSET:  # of a file, and of its type already
        return words[0].implicit_value
    for kind in kinds_of(hint):
        if get_origin(kind) is tuple:
            return tuple(_read_word(get_args(kind)[0], word) for word in words)
    return _read_word(hint, words[-1])


def _read_word(hint: Any, word: Token) -> Any:
    flag = word.keyword or "argument"
    if get_origin(hint) is dict or is_dataclass(hint):
        such = f", such as {flag}.{fields(hint)[0].name}" if is_dataclass(hint) else ""
        raise ValueError(f"{flag}: expected {flag}.NAME with a value{such}, got {word.value!r}")
    return typed(hint, meaning(word.value, kinds_of(hint)), flag)


def _read_table(hint: Any, words: Mapping[str, Any]) -> dict[str, Any]:
    """Of `dict[str, T]` each key; of a dictionary of such the last key, after a name with dots."""
    each = get_args(hint)[1]
    if not nested(hint):
        return {key: _read(each, words[key]) for key in words}
    found: dict[str, Any] = {}
    for (*names, last), its in _leaves(words):
        if names:
            found.setdefault(".".join(names), {})[last] = _read(get_args(each)[1], its)
        else:  # an empty table of a file
            found[last] = _read(each, its)
    return found


def nested(hint: Any) -> bool:
    """Whether the type is that of a dictionary of dictionaries."""
    return get_origin(hint) is dict and get_origin(get_args(hint)[1]) is dict


def _leaves(table: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each value with the keys that lead to it; an empty table is a value."""
    for key, value in table.items():
        if isinstance(value, Mapping) and value:
            yield from (((key, *keys), leaf) for keys, leaf in _leaves(value))
        else:
            yield (key,), value


def meaning(text: str, kinds: Sequence[Any]) -> int | float | bool | str:
    """What a text means where a value of one of these types is due, as in TOML.

    Quotes make a text of what would be a number: `'"3"'`. A text that means nothing else stays
    one, for `typed` to refuse where none is due.

    Example:
        >>> [meaning(text, (float, int, bool, str)) for text in ("3", "3.0", "true", '"3"', "x")]
        [3, 3.0, True, '3', 'x']
        >>> meaning("3", (float,)), meaning("3", (str,)), meaning("1.5", (int,))
        (3.0, '3', '1.5')
    """
    if int in kinds and WHOLE.fullmatch(text):
        return int(text)
    if float in kinds and NUMBER.fullmatch(text):
        return float(text)
    if bool in kinds and text in ("true", "false"):
        return text == "true"
    if len(kinds) > 1 and str in kinds and (quoted := QUOTED.fullmatch(text)):
        return quoted[1]
    return text


def check_words(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Refuse flags that no value can be read of; called by cyclopts before it reads the values.

    Raises:
        ValueError: such as `--score-settings.a 3`, `--options.a.b 3` or `--training.flip=none`.
    """
    for argument in arguments:
        for word in argument.tokens:
            if word.implicit_value is None:
                raise ValueError(f"{word.keyword}: expected true or false, got none")
            if word.keys and not _fits(word.keys, argument):
                shape = f"{argument.name}{'.NAME' if nested(argument.hint) else ''}.SETTING"
                raise ValueError(f"{word.keyword}: expected {shape}, got {word.value!r}")


def _fits(keys: tuple[str, ...], argument: Argument) -> bool:
    """Whether there are as many keys as the type has, none of them empty or before another."""
    enough = len(keys) > 1 if nested(argument.hint) else len(keys) == 1
    longer = (each.keys for each in argument.tokens if len(each.keys) > len(keys))
    return enough and all(keys) and all(other[: len(keys)] != keys for other in longer)


@dataclass(frozen=True)
class File:
    """A TOML file that says what no flag says; called by cyclopts before it reads the values.

    Its keys are the flags of the command, with `_` or `-`; a table stands for flags with a dot.
    """

    path: Location
    table: Mapping[str, Any]

    def __call__(self, app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
        flags = {
            name: argument
            for argument in arguments
            for name in argument.names
            if name.startswith("--") and name not in argument.negatives
        }
        self._fill("--", self.table, flags, arguments)

    def _fill(
        self,
        prefix: str,
        table: Mapping[str, Any],
        flags: dict[str, Argument],
        arguments: ArgumentCollection,
    ) -> None:
        for key, value in table.items():
            name = prefix + key.replace("_", "-")
            if name not in flags or "." in key:
                raise self._unknown(name, value, flags, arguments)
            argument = flags.pop(name)  # one name is given once, with `_` or with `-`
            if argument.children:
                if not isinstance(value, dict):
                    such = self._where(argument.children[0].name).partition(": ")[2]
                    raise ValueError(
                        f"{self._where(name)}: expected a table, such as {such}, got {value!r}"
                    )
                self._fill(f"{name}.", value, flags, arguments)
            else:
                self._give(argument, typed(argument.hint, value, self._where(name)))

    def _give(self, argument: Argument, value: Any) -> None:
        """To the argument, unless a flag gave it, or gave it with the same keys."""
        given = {".".join(word.keys) for word in argument.tokens}
        keyed = get_origin(argument.hint) is dict
        for keys, leaf in _leaves(value) if keyed else [((), value)]:
            name = ".".join(keys)
            if not any(f"{each}.".startswith(f"{name}.") for each in given):
                argument.append(Token(keys=keys, source=str(self.path), implicit_value=leaf))

    def _where(self, name: str) -> str:
        return f"{self.path}: {name.removeprefix('--').replace('-', '_')}"

    def _unknown(
        self, name: str, value: Any, flags: Mapping[str, Argument], arguments: ArgumentCollection
    ) -> Exception:
        if isinstance(value, dict) and name not in RENAMED:
            return ValueError(
                f"{self._where(name)}: expected no table of this name, got one; flags are at "
                f"the top level of the file, such as seed = 0, whatever the command"
            )
        keyword = "".join(f"[{key}]" for key in name.removeprefix("--").split("."))
        token = Token(keyword=keyword, source=str(self.path))
        return UnknownOptionError(token=token, argument_collection=arguments)


def read_file(path: Location) -> File:
    """The TOML file.

    Raises:
        ValueError: it cannot be read, or is not TOML.
    """
    try:
        return File(path, tomllib.loads(path.read_text(encoding="utf-8-sig")))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"--config: expected a TOML file, got {path}: {error}") from error


RENAMED = {
    "--settings": ("--preset",),
    "--instruments": ("--score-settings",),
    "--schooling": ("--short-training",),
    "--recipe": ("--training",),
    "--subset": ("--training.images",),
    "--epochs": ("--training.epochs",),
    "--batch": ("--proposals", "--training.batch"),
    "--learning-rate": ("--training.learning-rate",),
}
"""Flags of version 0.1, and what they are called now, the first that a command has; what follows a
dot is as it was."""


def renamed(error: Exception) -> str:
    """One line for a flag or a key of an older version; empty for any other error."""
    if not isinstance(error, UnknownOptionError) or error.token is None:
        return ""
    said = error.token.keyword or error.token.value  # the latter beside free arguments
    words, _, _ = said.removeprefix("--").replace("][", ".").strip("[]").partition("=")
    name, dot, setting = words.partition(".")
    flag = "--" + name.replace("_", "-")
    has = [each for argument in error.argument_collection or () for each in argument.names]
    now = next((new for new in RENAMED.get(flag, ()) if new in has), "")
    if now == "--training" and not dot:  # the recipe's name, as `track` had it
        now = "--training.recipe"
    return f"{flag}{dot}{setting} is now {now}{dot}{setting}" if now else ""
