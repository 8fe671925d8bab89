"""Which of two ways to the same result is the faster one, from the times that both took."""

from __future__ import annotations

_KEPT = 8  # times of a way
EACH = 8  # of so many searches that go the usual way one is timed, and stands for all
_WHILE = 100  # times as long as a trial of the slower way takes, the faster one is used before the next


class Choice:
    """Measured times of searches of one kind, with and without tables. Several threads may note theirs.

    A way is tried twice before it is judged. Then the faster one is taken, but the slower one is tried again whenever
    the faster one has taken a hundred times as long as that takes: searches that change find their way back, and those
    that do not lose about 2 %. A way's time is the mean of its last ones without the longest quarter: other
    programs make some of them long.

    Attributes:
        usual: the faster way.
        untimed: how many of the next searches go that way without being timed.
    """

    def __init__(self) -> None:
        self._seconds: dict[bool, tuple[float, ...]] = {True: (), False: ()}
        self._means = {True: 0.0, False: 0.0}
        self._since = 0.0
        self.usual = False
        self.untimed = 0

    def known(self) -> bool:
        """Whether both ways were tried."""
        return len(self._seconds[True]) > 1 and len(self._seconds[False]) > 1

    def faster(self) -> bool:
        """Whether tables are faster, once that is known."""
        return self._means[True] <= self._means[False]

    def take(self) -> bool:
        """Whether to use tables in the next search."""
        if not self.known():
            return len(self._seconds[True]) < 2
        faster = self.faster()
        return faster if self._since < _WHILE * self._means[not faster] else not faster

    def settled(self, tables: bool) -> bool:
        """Whether this is the usual way, and was timed so often that one search may stand for some."""
        return self.known() and tables == self.faster() and len(self._seconds[tables]) == _KEPT

    def note(self, tables: bool, seconds: float, times: int = 1) -> None:
        """What a search took, which may stand for several. A trial of the slower way makes its older times void."""
        known = self.known()
        if known and tables != self.faster():
            own: tuple[float, ...] = (seconds,)
        else:
            own = (*self._seconds[tables][1 - _KEPT :], seconds)
        self._since = self._since + times * seconds if known and len(own) > 1 else 0.0
        self._seconds[tables] = own
        kept = sorted(own)[: max(1, len(own) - max(1, len(own) // 4))]
        self._means[tables] = sum(kept) / len(kept)
        self.usual = self.faster()
        self.untimed = EACH - 1 if self.settled(tables) else 0
