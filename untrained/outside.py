r"""Text from outside, such as names of files and reasons of failures, as it can be shown.

Any subpackage may import this; it imports none. Terminal, page and shell each escape what they
read as markup; what all of them would obey is escaped here.
"""

import re
import shlex
import unicodedata

JOINERS = "\u200c\u200d"
"Without width, but letters of Persian and of Indian scripts, and emoji, are spelt with them."


def visible(text: str) -> str:
    r"""The text with every character that is obeyed rather than seen written out as an escape.

    Those are control characters, line ends and tabs among them, marks that turn the direction of
    writing, and lone surrogates, which stand for the bytes of a name that is not UTF-8.

    Example:
        >>> print(visible("naïve\x1b[2J \u202egnp.exe"), visible("caf\udce9"))
        naïve\x1b[2J \u202egnp.exe caf\udce9
    """
    if text.isprintable():
        return text
    return "".join(
        character if _is_seen(character) else character.encode("unicode_escape").decode()
        for character in text
    )


def _is_seen(character: str) -> bool:
    return (
        character.isprintable()
        or character in JOINERS
        or unicodedata.category(character) == "Zs"  # a space of whatever width
    )


def command_line(*words: str) -> str:
    r"""What to type for a POSIX shell to read these words, itself without control characters.

    Words that hold some are quoted as bytes, by `$'...'`. Passwords are left out.

    Example:
        >>> print(command_line("untrained", "report", "it's/caf\udce9\n"))
        untrained report $'it\'s/caf\xe9\x0a'
    """
    shown = map(without_password, words)
    return " ".join(shlex.quote(w) if visible(w) == w else f"$'{_in_bytes(w)}'" for w in shown)


def without_password(text: str) -> str:
    """The text without the passwords of a URL in it, of a PostgreSQL database or of files.

    Everything from a colon after the user's name to the last `@` counts as one, whether or not it
    is written as a URL demands.

    Example:
        >>> without_password("postgresql+psycopg://me:secret@host/runs?sslpassword=too&x=1")
        'postgresql+psycopg://me@host/runs?x=1'
    """
    if "://" not in text:
        return text
    text = _PASSWORD.sub(r"\1@", text)
    if "postgres" not in text:
        return text
    return re.sub(r"\?$", "", _PASSWORD_IN_QUERY.sub(r"\1", text))


_PASSWORD = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://[^:@/?\s]*):.*@", re.DOTALL)
_PASSWORD_IN_QUERY = re.compile(r"([?&])(?:ssl)?password=[^&]*&?")


def _in_bytes(word: str) -> str:
    return "".join(
        f"\\{character}" if character in "\\'"
        else character if _is_seen(character)
        else "".join(f"\\x{byte:02x}" for byte in _bytes(character))
        for character in word
    )  # fmt: skip


def _bytes(character: str) -> bytes:
    undecoded = "\udc80" <= character <= "\udcff"  # a byte of a name that is not UTF-8
    return character.encode(errors="surrogateescape" if undecoded else "surrogatepass")
