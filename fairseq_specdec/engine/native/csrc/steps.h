// Greedy steps without drafts: what a round does when it consists of one position a row.
#pragma once

#include "beam.h"
#include "round.h"

class Step {
  public:
    // totals: [rows]; scores: [rows, symbols], of the pass.
    Step(const Rules& rules, const State& state, float* totals, float* scores, int64_t symbols, int64_t rows)
        : rules(rules), state(state), totals(totals), scores(scores), symbols(symbols), rows(rows), last(rows), next(rows),
          none(rows), after(totals, totals + rows) {}

    const int64_t* last_tokens() {
        for (int64_t row = 0; row < rows; ++row) last[row] = state.tokens[row * state.capacity + state.lengths[row] - 1];
        return last.data();
    }

    // Chooses the next token of this thread's rows; returns how many of these are stopped by equal scores.
    int64_t choose(const Worker& worker) {
        int64_t stopped = 0;
        for (int64_t row = worker.begin(rows), end = worker.end(rows); row < end; ++row) {
            if (state.finished[row]) continue;
            float* own = scores + row * symbols;
            edit(rules, row, state.lengths[row] - 1, state.tokens + row * state.capacity, own, symbols);
            const Highest best = highest_score(own, symbols, totals[row]);
            next[row] = best.index;
            after[row] = totals[row] + own[best.index];
            stopped += best.tied;
        }
        return stopped;
    }

    // Appends what was chosen; returns whether a row has ended by it.
    bool commit(int64_t* cached, int64_t* status) {
        const Round round{rows, 0, symbols, nullptr, none.data(), 0, scores, none.data(), next.data(), nullptr, nullptr};
        const int64_t n_finished = std::count(state.finished, state.finished + rows, 1);
        ::commit(round, state, status);
        for (int64_t row = 0; row < rows; ++row) cached[row] += status[2 * rows + row];
        std::copy(after.begin(), after.end(), totals);
        return std::count(state.finished, state.finished + rows, 1) > n_finished;
    }

  private:
    const Rules& rules;
    const State& state;
    float *totals, *scores;
    const int64_t symbols, rows;
    std::vector<int64_t> last, next, none;
    std::vector<float> after;  // totals with what was chosen
};
