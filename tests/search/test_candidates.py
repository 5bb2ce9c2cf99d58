"""Steps of sentences that went at their own pace are put together as if all had gone at the same."""

import torch

from fairseq_specdec.search.candidates import Candidates, Decision, in_lockstep


def test_the_nth_steps_of_all_sentences_stand_together_in_the_sentences_order():
    def step(goes, first):
        scores = torch.arange(first, first + 3.0)[:, None]
        return Decision(torch.tensor(goes), Candidates(scores, scores.long(), scores.long())).step(
            torch.tensor([4, 0, 7])
        )

    steps = in_lockstep([step([True] * 3, 0), step([False, True, False], 10), step([True, True, False], 20)])
    assert [s.rows.tolist() for s in steps] == [[0, 4, 7], [0, 4], [0]]
    assert [s.candidates.scores.flatten().tolist() for s in steps] == [[1, 0, 2], [11, 20], [21]]
    assert in_lockstep([]) == []
