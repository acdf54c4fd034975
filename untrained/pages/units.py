"""Numbers and names as people read them."""

ACRONYMS = frozenset({"ntk", "nngp", "naswot", "swap", "epe", "nas", "az", "vkdnw"})


def duration(seconds: float | int) -> str:
    """Seconds with two or three digits, then minutes, then hours.

    Example:
        >>> [duration(s) for s in (0.0421, 3.14159, 75.2, 754, 4380)]
        ['0.04 s', '3.1 s', '75 s', '12 min 34 s', '1 h 13 min']
    """
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 119.5:
        return f"{seconds:.0f} s"
    if seconds < 3599.5:
        return "{} min {:02d} s".format(*divmod(round(seconds), 60))
    return "{:,} h {:02d} min".format(*divmod(round(seconds / 60), 60))


def milliseconds(seconds: float | int) -> str:
    """Seconds in milliseconds, with two digits or more.

    Example:
        >>> milliseconds(0.0000213), milliseconds(0.00456), milliseconds(0.345)
        ('0.021 ms', '4.6 ms', '345 ms')
    """
    thousandths = 1000 * seconds
    return f"{thousandths:,.0f} ms" if thousandths >= 99.5 else f"{thousandths:.2g} ms"


def memory(count: float | int) -> str:
    """Bytes, with three digits.

    Example:
        >>> memory(96), memory(125_864), memory(1_598_376)
        ('96 B', '126 kB', '1.6 MB')
    """
    short = compact(count)
    return f"{short} B" if short[-1].isdigit() else f"{short[:-1]} {short[-1]}B"


def compact(number: float | int) -> str:
    """Three digits and a letter: k, M, G, T.

    Example:
        >>> [compact(n) for n in (12, 9_999, 1_073_466, 153_270_000)]
        ['12', '10k', '1.07M', '153M']
    """
    for letter in ("", "k", "M", "G"):
        if abs(number) < 999.5:
            return f"{number:.3g}{letter}"
        number /= 1000
    return f"{number:.3g}T"


def percent(share: float | int, digits: int = 1) -> str:
    """A share in [0, 1] as a percentage.

    Example:
        >>> percent(0.9312)
        '93.1%'
    """
    return f"{100 * share:.{digits}f}%"


def share(value: float | None, digits: int = 2) -> str:
    """A correlation, or another number in [-1, 1], without the 0 before the point, or a dash.

    Example:
        >>> share(0.614, 3), share(-0.05), share(1.0), share(None)
        ('.614', '-.05', '1.00', '-')
    """
    return "-" if value is None else f"{value:.{digits}f}".replace("0.", ".", 1)


def probability(value: float | None) -> str:
    """A p, with three digits after the point, or a dash.

    Example:
        >>> probability(0.0204), probability(0.0002), probability(1.0), probability(None)
        ('.020', '<.001', '1.000', '-')
    """
    return "<.001" if value is not None and value < 0.0005 else share(value, 3)


def letter(number: int | None) -> str:
    """A for 1, B for 2, ...; those after Z remain numbers, and none is a dash.

    Example:
        >>> letter(1), letter(26), letter(27), letter(None)
        ('A', 'Z', '27', '-')
    """
    if number is None:
        return "-"
    return chr(ord("A") + number - 1) if number <= 26 else str(number)


def significant(number: float | int) -> str:
    """Three digits or more, thousands separated, powers of ten only where they are needed.

    Example:
        >>> [significant(n) for n in (0.01234, 56.789, 2250.4, 3.2e8, 0)]
        ['0.0123', '56.8', '2,250', '3.20e+08', '0']
    """
    if number and not 1e-3 <= abs(number) < 1e7:
        return f"{number:.2e}"
    return f"{number:,.0f}" if abs(number) >= 999.5 else f"{number:.3g}"


def counted(mean: float | int, error: float | None) -> str:
    """A count as a whole number, or the mean of counts that differ, with its standard error.

    Example:
        >>> counted(51_036_800.0, 0.0), counted(2345.25, 1.5)
        ('51,036,800', '2,345.2 ± 1.5')
    """
    if not error:
        return f"{mean:,.0f}"
    return f"{mean:,.1f} ± {error:{',.2g' if error < 100 else ',.0f'}}"


def readable(name: str) -> str:
    """A score's name for people; `package.module:Name` stays as it is.

    Example:
        >>> readable("condition_number"), readable("ntk_trace@2"), readable("own_score:My_One@1")
        ('Condition number', 'NTK trace after 2 epochs', 'own_score:My_One after 1 epoch')
    """
    name, _, epochs = name.partition("@")
    words = [word.upper() if word in ACRONYMS else word for word in name.split("_")]
    when = {"": "", "0": " at initialisation", "1": " after 1 epoch"}
    ours = " ".join([words[0][:1].upper() + words[0][1:], *words[1:]])
    text = name if ":" in name else ours
    return text + when.get(epochs, f" after {epochs} epochs")
