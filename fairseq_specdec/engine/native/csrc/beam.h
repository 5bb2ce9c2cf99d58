// Beam search on a CPU: what options do to scores, the best candidates of a sentence, and what its beams become by them.
// The same as search/beam_state.py does with torch, which says what it means; tests hold the two together.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "attention.h"
#include "linear.h"

// The options of a batch, as in rules/limits.py.
struct Rules {
    int64_t pad, unk, eos, max_len, min_len, ngram;
    double unk_penalty;
    const int64_t* prefix;  // [sentences, n_prefix], or null
    int64_t n_prefix;
    const int64_t* match_lengths;  // [sentences], or null
};

// Beams of each sentence. Rows of tokens, totals and slots are `capacity` long; step tokens follow the first.
struct Beams {
    int64_t sentences, width, beam, step, capacity;  // width: beams that were scored, 1 in the first step
    const int64_t* tokens;  // [sentences, beam, capacity]
    const float* totals;    // likewise, sum of the scores up to and with token i + 1
    const int32_t* slots;   // likewise
};

struct Candidates {
    int64_t n;       // of a sentence, twice the beam
    float* scores;   // [sentences, n], totals, best first; -inf behind the last one
    int64_t* tokens;
    int64_t* beams;
    uint8_t* tied;   // [sentences], whether equal scores leave the order open
};

struct Scored {
    float score;
    int64_t token;
};

// The best few, in order; of equal ones the first that came.
class Best {
  public:
    explicit Best(int64_t n) : room(n), found(n + 1) {}
    float least() const { return count < room ? -INFINITY : found[count - 1].score; }
    void add(float score, int64_t token) {
        if (!(score > least())) return;
        int64_t i = count;
        for (; i > 0 && found[i - 1].score < score; --i) found[i] = found[i - 1];
        found[i] = {score, token};
        count = std::min(count + 1, room);
    }
    int64_t size() const { return count; }
    const Scored& operator[](int64_t i) const { return found[i]; }

  private:
    int64_t room, count = 0;
    std::vector<Scored> found;
};

// Which token alone may come: eos at the end, or that of the prefix; -1: any.
static int64_t only_token(const Rules& rules, int64_t sentence, int64_t step) {
    if (step >= rules.max_len) return rules.eos;
    if (!rules.prefix || step >= rules.n_prefix) return -1;
    const int64_t token = rules.prefix[sentence * rules.n_prefix + step];
    return token == rules.pad ? -1 : token;
}

// Edits the scores of one position in place, in fairseq's order. row: the tokens so far, step + 1 of them.
static void edit(const Rules& rules, int64_t sentence, int64_t step, const int64_t* row, float* scores, int64_t symbols) {
    scores[rules.pad] = -INFINITY;
    scores[rules.unk] -= static_cast<float>(rules.unk_penalty);
    const bool in_prefix = rules.prefix && step < rules.n_prefix && step < rules.max_len;
    const int64_t only = only_token(rules, sentence, step);
    if (only >= 0) {
        const float own = scores[only];
        std::fill(scores, scores + symbols, -INFINITY);
        scores[only] = own;
    }
    if (!in_prefix && step < rules.min_len) scores[rules.eos] = -INFINITY;
    if (rules.ngram > 0) {
        const int64_t n = rules.ngram, last = step + 2 - n;  // where the n - 1 tokens begin that a next one would follow
        for (int64_t i = 0; i < last; ++i)
            if (std::equal(row + i, row + i + n - 1, row + last)) scores[row[i + n - 1]] = -INFINITY;
    }
    if (rules.match_lengths) scores[rules.eos] = step < rules.match_lengths[sentence] ? -INFINITY : 0.0f;
}

// The best of a position's scores with its beam's total added.
static void find_best(const float* scores, int64_t symbols, float total, Best& best) {
    constexpr int64_t kBlock = 16 * kWidth;
    int64_t i = 0;
    for (; i + kBlock <= symbols; i += kBlock) {  // most blocks hold none of the best
        Vec highest = load(scores + i);
        for (int64_t j = kWidth; j < kBlock; j += kWidth) highest = greater(load(scores + i + j), highest);
        if (!(highest_of(highest) + total > best.least())) continue;
        for (int64_t j = i; j < i + kBlock; ++j) best.add(scores[j] + total, j);
    }
    for (; i < symbols; ++i) best.add(scores[i] + total, i);
}

// scores: [sentences, width, symbols], edited in place. One thread's share.
static void rank(const Rules& rules, const Beams& beams, float* scores, int64_t symbols, std::vector<Best>& best,
                 const Worker& worker) {
    const int64_t n = beams.sentences * beams.width;
    for (int64_t p = worker.begin(n), end = worker.end(n); p < end; ++p) {
        const int64_t sentence = p / beams.width, row = sentence * beams.beam + p % beams.width;
        const float total = beams.step ? beams.totals[row * beams.capacity + beams.step - 1] : 0.0f;
        float* own = scores + p * symbols;
        edit(rules, sentence, beams.step, beams.tokens + row * beams.capacity, own, symbols);
        find_best(own, symbols, total, best[p]);
    }
}

// Merges the best of a sentence's beams.
static void merge(const Rules& rules, const Beams& beams, const std::vector<Best>& best, const Candidates& out,
                  int64_t sentence) {
    const int64_t first = sentence * beams.width, begin = sentence * out.n;
    std::vector<int64_t> next(beams.width, 0);
    int64_t n = 0;
    float last = INFINITY;
    bool tied = false;
    // fairseq gives all beams of a sentence whose prefix ends here the first beam's tokens and scores
    const bool ends = beams.step > 0 && beams.step < rules.max_len && only_token(rules, sentence, beams.step) == rules.eos;
    for (int64_t copy = 0; ends && copy < beams.beam && best[first].size(); ++copy, ++n) {
        out.scores[begin + n] = best[first][0].score;
        out.tokens[begin + n] = rules.eos;
        out.beams[begin + n] = 0;
    }
    while (!ends && n <= out.n) {  // one more than needed shows a tie at the end
        int64_t from = -1;
        for (int64_t b = 0; b < beams.width; ++b)
            if (next[b] < best[first + b].size() &&
                (from < 0 || best[first + b][next[b]].score > best[first + from][next[from]].score))
                from = b;
        if (from < 0) break;
        const Scored& found = best[first + from][next[from]++];
        tied |= found.score == last;
        last = found.score;
        if (n < out.n) {
            out.scores[begin + n] = found.score;
            out.tokens[begin + n] = found.token;
            out.beams[begin + n] = from;
        }
        ++n;
    }
    for (; n < out.n; ++n) {  // beams that cannot go on; nothing follows from them
        out.scores[begin + n] = -INFINITY;
        out.tokens[begin + n] = rules.pad;
        out.beams[begin + n] = 0;
    }
    out.tied[sentence] = tied;
}

// What is left of the beams for the next step, and the hypotheses that have ended.
struct Following {
    int64_t* tokens;  // [sentences, beam, capacity]
    float* totals;
    int32_t* slots;
    int64_t* last;       // [sentences, beam], the newest tokens
    int64_t used;        // slots of a sentence that are in use after this step
    int64_t* ended_tokens;   // [sentences, beam + 1, capacity], without the first token, eos last
    float* ended_scores;     // likewise, of each token
    float* ended_totals;     // [sentences, beam + 1]
    int64_t* ended_lengths;  // likewise
    int64_t* n_ended;        // [sentences]
    uint8_t* finished;       // [sentences]
};

static void end_hypothesis(const Rules& rules, const Beams& beams, const Following& to, int64_t sentence, int64_t beam,
                           float total) {
    const int64_t n = to.n_ended[sentence]++, T = beams.capacity, step = beams.step;
    const int64_t from = (sentence * beams.beam + beam) * T, at = sentence * (beams.beam + 1) + n;
    std::memcpy(to.ended_tokens + at * T, beams.tokens + from + 1, step * sizeof(int64_t));
    to.ended_tokens[at * T + step] = rules.eos;
    float before = 0.0f;
    for (int64_t i = 0; i < step; ++i) {
        const float now = beams.totals[from + i];
        to.ended_scores[at * T + i] = now - before;
        before = now;
    }
    to.ended_scores[at * T + step] = total - before;
    to.ended_totals[at] = total;
    to.ended_lengths[at] = step + 1;
}

static void advance(const Rules& rules, const Beams& beams, const Candidates& from, const Following& to,
                    int64_t sentence) {
    const int64_t b = beams.beam, T = beams.capacity, step = beams.step, begin = sentence * from.n;
    const float *scores = from.scores + begin;
    const int64_t *tokens = from.tokens + begin, *parents = from.beams + begin;
    int64_t n = 0;
    bool is_alive = false;
    for (int64_t i = 0; i < from.n; ++i) {
        const bool ends = tokens[i] == rules.eos && scores[i] != -INFINITY;
        if (ends) {
            if (i < b && to.n_ended[sentence] < b) end_hypothesis(rules, beams, to, sentence, parents[i], scores[i]);
            continue;
        }
        if (n == b) continue;
        const int64_t old = (sentence * b + parents[i]) * T, at = (sentence * b + n) * T;
        std::memcpy(to.tokens + at, beams.tokens + old, (step + 1) * sizeof(int64_t));
        std::memcpy(to.totals + at, beams.totals + old, step * sizeof(float));
        std::memcpy(to.slots + at, beams.slots + old, (step + 1) * sizeof(int32_t));
        if (step + 1 < T) {
            to.tokens[at + step + 1] = tokens[i];
            to.slots[at + step + 1] = static_cast<int32_t>(to.used + n);
        }
        to.totals[at + step] = scores[i];
        to.last[sentence * b + n] = tokens[i];
        is_alive |= scores[i] != -INFINITY;
        ++n;
    }
    to.finished[sentence] = to.n_ended[sentence] >= b || !is_alive || step >= rules.max_len;
}
