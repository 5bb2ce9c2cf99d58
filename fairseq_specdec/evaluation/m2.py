"""The M2 score (MaxMatch) of corrected sentences against annotated edits."""

from __future__ import annotations

from collections.abc import Sequence

from fairseq_specdec.evaluation.edit_counts import EditCounts, sum_best
from fairseq_specdec.evaluation.m2_file import Edit, M2Sentence

MAX_UNCHANGED = 2
_OUTSIDE = -1

Node = tuple[int, int]  # tokens of the source and of the hypothesis that lie before
Lattice = dict[Node, dict[Node, bool]]  # node -> node before -> whether the step changes anything; nodes ascending
Cost = tuple[int, int, int]  # matched gold edits (negative), steps outside of them, other edits
State = tuple[int, int]  # unchanged words in the open edit or _OUTSIDE, gold insertions passed at this source token


def m2(hyps: list[str], gold: list[M2Sentence]) -> dict[str, float]:
    """Compute MaxMatch precision, recall and F0.5 of a corpus.

    Of all ways to write a hypothesis as edits of its source (changes of up to two unchanged words between may be one
    edit) the one with the most gold edits counts, among these one with the fewest edits. Of several annotators the one
    counts, for each sentence, that gives the highest F0.5 over the sentences so far. Case counts, tokens are what
    stands between spaces. A gold edit with more than two unchanged words in it cannot be found, so that an annotator's
    own sentences can stay below 100.

    Args:
        hyps: one corrected sentence each, tokenised as the gold's sources.
        gold: sources and annotators' edits, as many. Where no annotator has a line, nothing is to be corrected.

    Returns:
        ``p``, ``r`` and ``f0.5`` in 0..100.

    Raises:
        ValueError: nothing to score, or other numbers of hypotheses and gold sentences.
    Source: Dahlmeier and Ng (2012). Written from the paper and the behaviour of its scorer (version 3.2, with its
    defaults), but the best path is exact where the scorer handles several insertions at one place by order of search.
    """
    if not hyps or len(hyps) != len(gold):
        raise ValueError(f"M2 needs as many hypotheses as gold sentences, got {len(hyps)} and {len(gold)}")
    return sum_best(map(match_sentence, hyps, gold)).scores()


def match_sentence(hyp: str, sentence: M2Sentence) -> list[EditCounts]:
    """Count correct, proposed and gold edits against every annotator, in the order of the file."""
    annotators = list(sentence.edits.values()) or [()]
    source, target = sentence.source, tuple(hyp.split())
    if source == target:
        return [EditCounts(0, 0, len(edits)) for edits in annotators]
    lattice = edit_lattice(source, target)
    return [_match(lattice, source, target, edits) for edits in annotators]


def edit_lattice(source: Sequence[str], target: Sequence[str]) -> Lattice:
    """Return all shortest ways from source to target, both with a substitution as dear as one insertion and as two."""
    steps: Lattice = {}
    for substitution in (1, 2):
        distance = _distances(source, target, substitution)
        waiting = [(len(source), len(target))]
        seen = set(waiting)
        while waiting:
            i, j = node = waiting.pop()
            before = steps.setdefault(node, {})
            for previous in ((i - 1, j - 1), (i - 1, j), (i, j - 1)):
                if min(previous) < 0:
                    continue
                diagonal = previous == (i - 1, j - 1)
                changes = not diagonal or source[i - 1] != target[j - 1]
                cost = (substitution if diagonal else 1) * changes
                if distance[previous[0]][previous[1]] + cost == distance[i][j]:
                    before[previous] = changes
                    if previous not in seen:
                        seen.add(previous)
                        waiting.append(previous)
    return dict(sorted(steps.items()))


def _distances(source: Sequence[str], target: Sequence[str], substitution: int) -> list[list[int]]:
    """Return the edit distances between all beginnings of two sentences; insertion and deletion cost 1."""
    rows = [list(range(len(target) + 1))]
    for i, word in enumerate(source, start=1):
        above, row = rows[-1], [i]
        for j, other in enumerate(target, start=1):
            diagonal = above[j - 1] + (0 if word == other else substitution)
            row.append(min(diagonal, above[j] + 1, row[-1] + 1))
        rows.append(row)
    return rows


def _match(lattice: Lattice, source: Sequence[str], target: Sequence[str], gold: Sequence[Edit]) -> EditCounts:
    """Count the edits on the way through the lattice that has the most gold edits, then the fewest others."""
    arcs = _gold_arcs(lattice, source, target, gold)
    best: dict[Node, dict[State, Cost]] = {}
    for node, before in lattice.items():
        states: dict[State, Cost] = {} if before else {(_OUTSIDE, 0): (0, 0, 0)}
        for previous, changes in before.items():
            for (unchanged, passed), cost in best[previous].items():
                _step(states, unchanged, passed if previous[0] == node[0] else 0, cost, changes)
        for previous, number in arcs.get(node, ()):  # number: which insertion at this place, 0 if it is none
            for (unchanged, passed), (matched, steps, edits) in best[previous].items():
                if unchanged == _OUTSIDE and (number == 0 or passed < number):
                    _keep(states, (_OUTSIDE, number), (matched - 1, steps, edits))
        for (_, passed), cost in list(states.items()):
            _keep(states, (_OUTSIDE, passed), cost)  # an edit may end anywhere
        best[node] = states
    matched, _, others = min(best[len(source), len(target)].values())
    return EditCounts(-matched, others - matched, len(gold))


def _step(states: dict[State, Cost], unchanged: int, passed: int, cost: Cost, changes: bool) -> None:
    """Take one step of the lattice outside of gold edits: it may open an edit, or stay in the open one."""
    matched, steps, edits = cost
    if changes:
        opens = unchanged == _OUTSIDE
        _keep(states, (max(unchanged, 0), passed), (matched, steps + 1, edits + opens))
    elif unchanged == _OUTSIDE:
        _keep(states, (_OUTSIDE, passed), (matched, steps + 1, edits))
    elif unchanged < MAX_UNCHANGED:
        _keep(states, (unchanged + 1, passed), (matched, steps + 1, edits))


def _keep(states: dict[State, Cost], state: State, cost: Cost) -> None:
    states[state] = min(cost, states.get(state, cost))


def _gold_arcs(
    lattice: Lattice, source: Sequence[str], target: Sequence[str], gold: Sequence[Edit]
) -> dict[Node, list[tuple[Node, int]]]:
    """Find where the hypothesis has the gold edits.

    Returns:
        For the node at the end of an edit the nodes at its beginning, each with the number of the edit among the
        insertions at its place, counted from 1 (a way may take them in this order only), or 0.
    """
    arcs: dict[Node, list[tuple[Node, int]]] = {}
    insertions: dict[int, int] = {}
    for edit in gold:
        number = 0
        if edit.start == edit.end:
            number = insertions[edit.start] = insertions.get(edit.start, 0) + 1
        for words in {tuple(text.split()) for text in edit.corrections}:
            if words == tuple(source[edit.start : edit.end]):
                continue  # marks an error without correcting it: no edit of a hypothesis
            for j in range(len(target) - len(words) + 1):
                first, last = (edit.start, j), (edit.end, j + len(words))
                if tuple(target[j : last[1]]) == words and _joined(lattice, first, last):
                    arcs.setdefault(last, []).append((first, number))
    return arcs


def _joined(lattice: Lattice, first: Node, last: Node) -> bool:
    """Tell whether the lattice has a way from one node to another over few enough unchanged words."""
    if first not in lattice or last not in lattice:
        return False
    fewest = {last: 0}
    waiting = [last]
    while waiting:
        node = waiting.pop()
        for previous, changes in lattice[node].items():
            count = fewest[node] + (not changes)
            if min(previous[0] - first[0], previous[1] - first[1]) < 0 or count > MAX_UNCHANGED:
                continue
            if count < fewest.get(previous, MAX_UNCHANGED + 1):
                fewest[previous] = count
                waiting.append(previous)
    return first in fewest
