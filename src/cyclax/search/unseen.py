"""How much of what samples lead to has not been met, by Good and Turing."""


def most_unseen(once: int) -> float:
    """A 95 % bound on the number of samples that led to what was met once or never: 3 where nothing was met once.

    The Poisson limit by Wilson and Hilferty (1931), with Good-Turing's reading of what was met once.
    """
    following = 1 + once
    return following * (1 - 1 / (9 * following) + 1.645 / (3 * following**0.5)) ** 3 if once else 3.0
