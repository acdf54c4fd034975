"""Numbers and names as people read them."""

import math

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


def significant(number: float | int, digits: int = 3) -> str:
    """So many digits or more, thousands separated, powers of ten only where they are needed.

    Example:
        >>> [significant(n) for n in (0.01234, 56.789, 2250.4, 3.2e8, 0)]
        ['0.0123', '56.8', '2,250', '3.20e+08', '0']
        >>> [significant(n, 5) for n in (344_060.2, 12.345678, 7)]
        ['344,060', '12.346', '7']
    """
    if number and not 1e-3 <= abs(number) < 1e7:
        return f"{number:.{digits - 1}e}"
    return f"{number:,.0f}" if abs(number) >= 10**digits - 0.5 else f"{number:,.{digits}g}"


def uncertain(mean: float | int, error: float | int) -> str:
    """An estimate with its standard error, both up to the last digit that the error leaves.

    Of the error two digits are shown where they are 10 to 35, and one otherwise.

    Args:
        mean: the estimate.
        error: above 0.

    Example:
        >>> uncertain(932.346, 0.858), uncertain(803.92, 2.41), uncertain(344_058.0, 1234.5)
        ('932.3 ± 0.9', '803.9 ± 2.4', '344,100 ± 1,200')
        >>> uncertain(1.23456e8, 2.1e6), uncertain(0.0, 0.5)
        ('(1.235 ± 0.021)e+08', '0.0 ± 0.5')

    Source: Particle Data Group, Review of Particle Physics, introduction, section 5.3.
    """
    power = math.floor(math.log10(max(abs(mean), error)))
    if not -4 <= power < 7:
        scale = 10.0**power
        return f"({uncertain(mean / scale, error / scale)})e{power:+03d}"
    first = math.floor(math.log10(error))
    leading = round(100 * error / 10.0**first)
    places = -first if 354 < leading < 950 else 1 - first
    if leading >= 950:
        places -= 1
    shown = max(places, 0)
    return f"{round(mean, places):,.{shown}f} ± {round(error, places):,.{shown}f}"


def counted(mean: float | int, error: float | None) -> str:
    """A count as a whole number, or the mean of counts that differ, with its standard error.

    Example:
        >>> counted(51_036_800.0, 0.0), counted(2345.25, 1.5)
        ('51,036,800', '2,345.2 ± 1.5')
    """
    if not error:
        return f"{mean:,.0f}"
    return uncertain(mean, error)


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
