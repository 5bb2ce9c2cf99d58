// What surrounds a pass: drafts are cut to what fits, which tokens stand, and what rows become by them. The same as
// accept_exact of search/acceptance.py and DecodeState.trim and commit of search/state.py, which say what it means; tests hold them
// together.
#pragma once

#include "attention.h"

// Cuts drafts to what rows have room for; returns the longest that is left.
static int64_t trim(int64_t rows, const int64_t* drafted, const int64_t* lengths, const uint8_t* finished,
                    int64_t max_len, int64_t limit, int64_t* trimmed) {
    int64_t longest = 0;
    for (int64_t row = 0; row < rows; ++row) {
        const int64_t room = std::min(drafted[row], max_len + 1 - lengths[row]);
        trimmed[row] = finished[row] ? 0 : std::clamp<int64_t>(room, 0, limit);
        longest = std::max(longest, trimmed[row]);
    }
    return longest;
}

struct Highest {
    int64_t index;  // the first of the highest scores
    bool tied;      // whether another is as high once the total is added, which is when fairseq compares them
};

// None of the scores is NaN. Most blocks of vectors hold neither of the best two: each lane's highest of a block is compared,
// and what else stands in the lane that holds the best is looked at in the end.
static Highest highest_score(const float* scores, int64_t n, float total) {
    constexpr int kVectors = 8, kStep = kVectors * kWidth;
    const int64_t whole = n - n % kStep;
    Vec highest = broadcast(-INFINITY), second = highest;
    float top = -INFINITY, next = -INFINITY;
    const auto see = [&](float score) {
        next = std::max(next, std::min(score, top));
        top = std::max(top, score);
    };
    int64_t i = 0;
    for (; i < whole; i += kStep) {
        Vec v[kVectors];
        UNROLLED for (int j = 0; j < kVectors; ++j) v[j] = load(scores + i + j * kWidth);
        UNROLLED for (int half = kVectors / 2; half > 0; half /= 2)
            UNROLLED for (int j = 0; j < half; ++j) v[j] = greater(v[j], v[j + half]);
        second = greater(v[0] < highest ? v[0] : highest, second);
        highest = greater(v[0], highest);
    }
    for (; i < n; ++i) see(scores[i]);
    for (int lane = 0; lane < kWidth; ++lane) {
        see(highest[lane]);
        see(second[lane]);
    }
    for (i = 0; i < whole && !any(load(scores + i) == broadcast(top)); i += kWidth) {}
    while (i + 1 < n && scores[i] != top) ++i;
    if (i < whole)
        for (int64_t other = i - i % kStep + i % kWidth, end = other + kStep; other < end; other += kWidth)
            if (other != i) next = std::max(next, scores[other]);
    return {i, top > -INFINITY && next + total == top + total};
}

// A round of B rows with K draft tokens.
struct Round {
    int64_t rows, block, symbols;
    const int64_t *draft, *drafted;  // [B, K] with draft_stride from row to row, [B]
    int64_t draft_stride;
    const float* lprobs;             // [B, K + 1, V]
    int64_t *accepted, *next_token;  // [B]
    const float* before;             // [B], score of each row before the round
    float* totals;                   // [B], with what stands

    int64_t token(int64_t row, int64_t k) const { return draft[row * draft_stride + k]; }
    const float* scores(int64_t row, int64_t k) const { return lprobs + (row * (block + 1) + k) * symbols; }
};

// Returns how many rows are stopped by equal scores; each has -1 less what is accepted so far in the place of that. For
// these the caller puts the token that is taken in the place of the next one and calls again, not to begin; totals are then
// those before that token.
static int64_t accept_exact(const Round& r, bool begin) {
    int64_t stopped = 0;
    for (int64_t row = 0; row < r.rows; ++row) {
        if (!begin && r.accepted[row] >= 0) continue;
        const int64_t n = std::min(r.block, r.drafted[row]);
        int64_t k = begin ? 0 : -1 - r.accepted[row];
        float total = begin ? r.before[row] : r.totals[row];
        Highest best = begin ? highest_score(r.scores(row, 0), r.symbols, total) : Highest{r.next_token[row], false};
        while (!best.tied) {
            total += r.scores(row, k)[best.index];
            if (k == n || r.token(row, k) != best.index) break;
            best = highest_score(r.scores(row, ++k), r.symbols, total);
        }
        r.accepted[row] = best.tied ? -1 - k : k;
        r.next_token[row] = best.index;
        r.totals[row] = total;
        stopped += best.tied;
    }
    return stopped;
}

struct State {
    int64_t* tokens;  // [B, capacity]
    float* scores;    // likewise
    int64_t* lengths;   // [B]
    uint8_t* finished;  // [B]
    int64_t capacity, eos, max_len;
};

// status: [5, B]: lengths, finished, tokens kept, drafted, accepted.
static void commit(const Round& r, const State& s, int64_t* status) {
    for (int64_t row = 0; row < r.rows; ++row) {
        const int64_t begin = s.lengths[row], n_new = r.accepted[row] + 1;
        const int64_t room = s.max_len + 2 - begin;  // an eos is forced in time, unless all scores are NaN
        bool ended = s.finished[row];
        int64_t kept = 0;
        for (; kept < n_new && !ended; ++kept) {
            const int64_t token = kept < n_new - 1 ? r.token(row, kept) : r.next_token[row];
            s.tokens[row * s.capacity + begin + kept] = token;
            s.scores[row * s.capacity + begin + kept] = r.scores(row, kept)[token];
            ended = token == s.eos || kept + 1 >= room;
        }
        s.lengths[row] = begin + kept;
        s.finished[row] = ended;
        const int64_t now[] = {begin + kept, ended, kept, r.drafted[row], r.accepted[row]};
        for (int i = 0; i < 5; ++i) status[i * r.rows + row] = now[i];
    }
}
